"""The data card of a curated corpus in the Croissant format 1.0 (Akhtar et al. 2024, arXiv 2403.19546), as JSON-LD."""

from typing import Any

from bise.openness.lineage import Ancestor
from bise.openness.release.licences import spdx_id
from bise.openness.release.record import About, table
from bise.openness.steps import sources_of
from bise.runs import Output

_COLUMNS = {
    "id": "The document's id, unique in its source.",
    "text": "The document.",
    "source": "The source, a key of the recipe.",
    "licence": "The licence, as the source's owner states it.",
    "lang": "ISO 639-1 code of the language.",
    "metadata": "What else the source says of the document, as JSON.",
    "sha256": "Hash of the text in UTF-8.",
}
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_LICENCE_ADDRESS = "https://spdx.org/licenses/"


def croissant(corpus: Ancestor, about: About) -> dict[str, Any]:
    """The card of one curated corpus; files are named relative to its run directory."""
    manifest, facts = corpus.manifest, corpus.manifest.facts
    files = [output for output in manifest.outputs if output.path.startswith("documents/")]
    licences = dict.fromkeys(source.licence for source in sources_of(manifest) if source.licence)
    card: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": manifest.name,
        "description": _description(corpus),
        "version": "1.0.0",
        "datePublished": manifest.created,
        "license": [_LICENCE_ADDRESS + found if (found := spdx_id(one)) else one for one in licences],
        "inLanguage": [lang for lang in table(facts.get("languages")) if lang],
        "isBasedOn": [source.origin for source in sources_of(manifest) if source.origin],
        "identifier": f"sha256:{corpus.sha256}",
        "rai:dataPreprocessingProtocol": _protocol(corpus),
        "rai:personalSensitiveInformation": _masked(corpus),
        "distribution": [_file(output) for output in files],
        "recordSet": [_records(output) for output in files],
    }
    card |= {"url": about.dataset} if about.dataset else {}
    card |= {"creator": {"@type": "sc:Organization", "name": about.provider}} if about.provider else {}
    return {key: value for key, value in card.items() if value not in ("", [])}


def _description(corpus: Ancestor) -> str:
    facts = corpus.manifest.facts
    sources = ", ".join(source.name for source in sources_of(corpus.manifest))
    return f"{facts.get('kept', 0):,} documents, {facts.get('kept_bytes', 0):,} bytes of text, curated from {sources}."


def _protocol(corpus: Ancestor) -> list[str]:
    dropped = table(corpus.manifest.facts.get("dropped"))
    counts = [f"{count:,} documents were dropped by the rule {reason}." for reason, count in dropped.items()]
    return [f"{corpus.manifest.facts.get('read', 0):,} documents were read.", *counts]


def _masked(corpus: Ancestor) -> list[str]:
    masked = table(corpus.manifest.config.get("personal")).get("mask", ())
    if not masked:
        return ["No personal data was looked for and masked."]
    return [f"Found by pattern and checksum, and masked: {kind}." for kind in masked]


def _file(output: Output) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": output.path,
        "name": output.path,
        "contentUrl": output.path,
        "contentSize": f"{output.size_bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": output.sha256,
    }


def _records(output: Output) -> dict[str, Any]:
    name = output.path.removeprefix("documents/").removesuffix(".parquet")
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": f"{name}/{column}",
            "description": words,
            "dataType": "sc:Text",
            "source": {"fileObject": {"@id": output.path}, "extract": {"column": column}},
        }
        for column, words in _COLUMNS.items()
    ]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}
