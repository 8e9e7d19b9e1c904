"""Two forms of the European Union: the public summary of training content, and the model documentation form.

The first follows the template of the Commission of 24 July 2025, the second the transparency chapter of the code of practice
for general-purpose models of July 2025. Their fields are named here in our own words. No official machine-readable form
exists. A model far below 10^23 operations has no duty to publish either.
"""

from collections.abc import Iterable

from bise.openness.release.markdown import ByHand, form, known, rows
from bise.openness.release.record import Record, table
from bise.openness.steps import Source

Fields = list[tuple[str, str]]
_SIZES = ((1e9, "less than 1 billion tokens"), (1e13, "1 billion to 10 trillion tokens"))
_GPAI_FLOP = 1e23  # the Commission's indicative criterion for a general-purpose model


def training_content_summary(record: Record) -> str:
    """The public summary of the content that a model was trained on, in Markdown."""
    return form(
        f"Public summary of training content: {record.name}",
        [
            ("1.1 Provider", _provider(record)),
            ("1.2 Model", _model(record)),
            ("1.3 Modalities, size and characteristics of the data", _size(record)),
            ("2.1 Publicly available data sets", [("Data sets", _data_sets(s for s in record.sources if s.origin))]),
            ("2.2 Private data sets of third parties", [("Data sets", ByHand("any, or none"))]),
            ("2.3 Data crawled from the web", [("Crawlers, periods, domains", _crawled(record))]),
            ("2.4 Data of users", [("Services, modalities", ByHand("whether feedback of users was used"))]),
            ("2.5 Synthetic data", [("Generating models", ByHand("models that wrote any of the data, or none"))]),
            ("2.6 Other sources", [("Data sets", _data_sets(s for s in record.sources if not s.origin))]),
            ("3.1 Reserved rights", [("Measures", known(record.about.rights_reservations, "opt-outs respected"))]),
            ("3.2 Unlawful content", [("Measures", _unlawful(record))]),
            ("3.3 Other processing", [("Filters", _filters(record))]),
        ],
    )


def model_documentation_form(record: Record) -> str:
    """The model documentation form, in Markdown."""
    return form(
        f"Model documentation: {record.name}",
        [
            ("General information", _general(record)),
            ("Properties of the model", _properties(record)),
            ("Distribution and licence", _distribution(record)),
            ("Use", _use(record)),
            ("Training process", _process(record)),
            ("Data for training, testing and validation", _data(record)),
            ("Computational resources", _compute(record)),
            ("Energy", _energy(record)),
        ],
    )


def _provider(record: Record) -> Fields:
    about = record.about
    return [
        ("Name", known(about.provider, "legal name")),
        ("Address", known(about.address, "address")),
        ("Contact", known(about.contact, "contact")),
        ("Authorised representative", known(about.representative, "in the Union, or not needed")),
    ]


def _model(record: Record) -> Fields:
    bases = [parent.name for parent in record.lineage.missing]
    return [
        ("Name and version", f"{record.name} {record.version}"),
        ("Dependencies", ", ".join(bases) or ("trained from the start" if record.trained else ByHand("base model"))),
        ("Date of placing on the Union market", known(record.about.market_date, "date")),
    ]


def _size(record: Record) -> Fields:
    tokens = record.total("tokens")
    band = next(
        (words for limit, words in _SIZES if tokens is not None and tokens < limit), "more than 10 trillion tokens"
    )
    dates = sorted(corpus.manifest.created[:10] for corpus in record.corpora)
    return [
        ("Modalities", "Text"),
        ("Size", ByHand("tokens") if tokens is None else f"{band}: {tokens:,.0f} tokens carried loss, repeats counted"),
        ("Languages", ", ".join(lang for lang in record.languages if lang) or ByHand("languages")),
        ("Latest date of collection", ByHand("date") + (f" The corpus was curated on {dates[-1]}." if dates else "")),
    ]


def _data_sets(sources: Iterable[Source]) -> str:
    entries = (
        (one.name, one.origin or "none stated", one.licence, f"{one.number:,} {one.kind}", _megabytes(one))
        for one in sources
    )
    return rows(("Name", "Origin", "Licence", "Number", "Size"), entries) or "None in the records."


def _megabytes(source: Source) -> str:
    return "" if source.size_bytes is None else f"{source.size_bytes / 1e6:.1f} MB"


def _crawled(record: Record) -> str:
    formats = {
        str(one.get("format"))
        for corpus in record.corpora
        for one in table(corpus.manifest.config.get("sources")).get("list", ())
    }
    if not record.corpora or "warc" in formats:
        return ByHand("crawler, period and the largest tenth of the domains by size")
    return "No web archive is among the sources that the records name. " + ByHand("whether any source was crawled")


def _unlawful(record: Record) -> str:
    lists = [table(corpus.manifest.config.get("lists")) for corpus in record.corpora]
    used = [
        f"A list of sites or words was used by the run: {one}." for one in lists if one.get("sites") or one.get("words")
    ]
    return "\n".join([*used, known(record.about.unlawful_content, "measures against unlawful content")])


def _filters(record: Record) -> str:
    entries = (
        (corpus.name, reason, f"{count:,}")
        for corpus in record.corpora
        for reason, count in table(corpus.manifest.facts.get("dropped")).items()
    )
    masked = {kind for c in record.corpora for kind in table(c.manifest.config.get("personal")).get("mask", ())}
    words = f"Personal data masked: {', '.join(sorted(masked)) or 'none'}.\n\n" if record.corpora else ""
    return words + (rows(("Run", "Rule", "Documents dropped"), entries) or ByHand("filters"))


def _general(record: Record) -> Fields:
    return [
        ("Legal name of the provider", known(record.about.provider, "legal name")),
        ("Model", f"{record.name} {record.version}"),
        ("Authenticity", f"SHA-256 of the manifest: `{record.model.sha256}`; of every file: `SHA256SUMS`"),
        ("Date of release", record.model.manifest.created[:10]),
        ("Date of placing on the Union market", known(record.about.market_date, "date")),
        ("Dependencies", ", ".join(link.name for link in record.lineage.links[1:]) or "none in the records"),
    ]


def _properties(record: Record) -> Fields:
    spec = record.spec
    return [
        (
            "Architecture",
            f"Transformer decoder, {spec.num_layers} layers of width {spec.hidden_size}, {spec.num_heads} heads",
        ),
        ("Input", f"Text, at most {spec.context_length:,} tokens with the output"),
        ("Output", f"Text, at most {spec.context_length:,} tokens with the input"),
        ("Parameters", f"{spec.num_parameters():.1e} ({spec.num_parameters():,})"),
    ]


def _distribution(record: Record) -> Fields:
    return [
        ("Channels", known(record.about.repository, "addresses where it is offered")),
        ("Licence", known(record.licence, "licence of the weights")),
        ("Assets under it", "Weights, configuration, tokenizer, documents of this directory"),
    ]


def _use(record: Record) -> Fields:
    return [
        ("Acceptable use", known(record.about.acceptable_use, "policy, or none")),
        ("Intended use", known(record.about.intended_use, "intended use")),
        ("Systems it can be part of", ByHand("kinds of systems")),
        ("Integration", "An HTTP API in the dialects of OpenAI, Mistral and Anthropic: `bise serve`"),
        ("Hardware and software", "A processor with memory for the weights; Bise, or a program that reads safetensors"),
    ]


def _process(record: Record) -> Fields:
    runs = rows(
        ("Run", "Steps", "Tokens that carried loss", "Loss at the end"),
        (
            (
                r.name,
                f"{r.manifest.facts.get('steps')}",
                f"{r.manifest.facts.get('tokens')}",
                f"{r.manifest.facts.get('loss')}",
            )
            for r in record.trained
        ),
    )
    return [
        ("Design of the training", runs or ByHand("how it was trained")),
        ("Settings", "Every setting is in `recipes/`." if record.trained else ByHand("settings")),
        ("Rationale of the decisions", known(record.about.rationale, "why these decisions")),
    ]


def _data(record: Record) -> Fields:
    return [
        ("Modalities", "Text"),
        ("Provenance", _data_sets(record.sources)),
        ("How it was obtained and selected", _filters(record)),
        (
            "Scope",
            rows(
                ("Language", "MB of curated text"),
                ((k or "unknown", f"{v / 1e6:.1f}") for k, v in record.languages.items()),
            )
            or ByHand("scope"),
        ),
        ("Measures against unsuitable sources", known(record.about.unlawful_content, "measures")),
        ("Measures against bias", known(record.about.bias_measures, "measures that find bias")),
    ]


def _compute(record: Record) -> Fields:
    seconds, operations = record.total("training_seconds"), record.total("flops")
    methods = dict.fromkeys(str(run.manifest.facts.get("flops_formula", "")) for run in record.trained)
    machines = dict.fromkeys(
        str(table(run.manifest.facts.get("hardware")).get("processor", run.manifest.machine)) for run in record.trained
    )
    share = "" if operations is None else f", {operations / _GPAI_FLOP:.1e} of the Commission's criterion of 10²³"
    return [
        (
            "Training time",
            ByHand("time")
            if seconds is None
            else f"{seconds / 3600:.2f} hours, {seconds / 86400:.3f} days of one machine",
        ),
        ("Hardware", ", ".join(machines) or ByHand("hardware")),
        ("Operations", ByHand("FLOP") if operations is None else f"{operations:.2e} FLOP{share}"),
        ("Method", "; ".join(method for method in methods if method) or ByHand("method")),
    ]


def _energy(record: Record) -> Fields:
    energy = record.total("energy_kwh")
    methods = dict.fromkeys(str(run.manifest.facts.get("energy_method", "")) for run in record.trained)
    return [
        ("Energy of the training", ByHand("MWh") if energy is None else f"{energy / 1000:.2e} MWh"),
        ("Method", "; ".join(method for method in methods if method) or ByHand("method")),
    ]
