"""What the engine holds is told under our names, and to routers of clusters under vLLM's."""

from prometheus_client.parser import text_string_to_metric_families

from bise.engine.settings import EngineStats
from bise.server.metrics import EngineLoad, Metrics

STATS = EngineStats(
    num_running=3,
    num_waiting=2,
    num_blocks=200,
    num_used_blocks=50,
    num_cached_blocks=10,
    num_prompt_tokens=1000,
    num_cached_tokens=400,
    num_drawn_tokens=77,
    num_proposed_tokens=0,
    num_held_tokens=0,
    num_preemptions=1,
    num_evictions=0,
    num_adapters=0,
    adapter_bytes=0,
)


def told(metrics: Metrics) -> dict[str, float]:
    """Samples by name, as Prometheus itself reads them."""
    families = text_string_to_metric_families(metrics.text().decode())
    samples = [sample for family in families for sample in family.samples]
    assert all(sample.labels == {"model_name": "m"} for sample in samples if sample.name.startswith("vllm:"))
    return {sample.name: sample.value for sample in samples if sample.labels.get("model_name") == "m"}


def test_what_the_engine_holds_is_told() -> None:
    assert told(Metrics(lambda: (EngineLoad("m", STATS),))) == {
        "bise:num_requests_running": 3,
        "bise:num_requests_waiting": 2,
        "vllm:num_requests_waiting": 2,
        "bise:kv_cache_usage_perc": 0.25,
        "vllm:kv_cache_usage_perc": 0.25,
        "bise:prefix_cache_queries_total": 1000,
        "bise:prefix_cache_hits_total": 400,
        "bise:num_preemptions_total": 1,
    }


def test_an_engine_that_has_told_nothing_yet_holds_nothing() -> None:
    assert set(told(Metrics(lambda: (EngineLoad("m", None),))).values()) == {0}
