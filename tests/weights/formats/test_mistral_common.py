"""What we export in Mistral's format, mistral-common and our reader read: the same tokens, the same logits."""

from pathlib import Path

import numpy as np
from mistral_common.protocol.instruct.messages import UserMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from bise.messages import Conversation, Message
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.files import open_weights
from bise.weights.formats.detect import open_foreign
from bise.weights.formats.export import Companions, export_model
from bise.weights.store import shipped_directory
from tests.weights.formats.logits import our_logits


def test_the_demonstration_model_leaves_in_mistral_s_format(tmp_path: Path) -> None:
    weights = open_weights(shipped_directory())
    export_model(
        weights, tmp_path / "out", "mistral", Companions("m", (shipped_directory() / "tekken.json",)), "float32"
    )
    theirs = MistralTokenizer.from_file(tmp_path / "out/tekken.json")
    request = ChatCompletionRequest(messages=[UserMessage(content="Qui es-tu ? [INST]")], model="m")
    ids = theirs.encode_chat_completion(request).tokens
    conversation = Conversation((Message("user", "Qui es-tu ? [INST]"),))
    assert ChatTokenizer.load(tmp_path / "out").render(conversation, for_completion=True).ids == ids
    model = open_foreign(tmp_path / "out")
    assert [path.name for path in model.tokenizer_files] == ["tekken.json"]
    expected = our_logits(weights, ids)
    np.testing.assert_allclose(our_logits(model.weights, ids), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
