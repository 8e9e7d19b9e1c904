"""Figures for Prometheus: vLLM's names with our prefix, so that its dashboards fit after one replacement.

Two gauges carry vLLM's own names besides: routers of clusters (the Gateway API's inference extension, llm-d) look for
waiting requests and the use of the KV cache under these.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bise.engine.settings import EngineStats
from bise.store.usage import Counts

_FIRST_TOKEN_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_BETWEEN_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)
_WHOLE_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)
_MODEL = ("model_name",)


@dataclass(frozen=True)
class EngineLoad:
    """What the engine on this machine holds; None: it tells nothing yet."""

    model: str
    stats: EngineStats | None


EngineLoads = Callable[[], tuple[EngineLoad, ...]]


class ModelMetrics:
    """The figures of one model."""

    def __init__(self, metrics: "Metrics", model: str) -> None:
        self._finished = partial(metrics.finished.labels, model)
        self.first_token = metrics.first_token.labels(model)
        self.between = metrics.between.labels(model)
        self._whole = metrics.whole.labels(model)
        self._prompt, self._generated = metrics.prompt.labels(model), metrics.generated.labels(model)
        self._prompt_sizes = metrics.prompt_sizes.labels(model)
        self._answer_sizes = metrics.answer_sizes.labels(model)

    def finished(self, reason: str) -> None:
        """An answer came to its end."""
        self._finished(reason).inc()

    def ended(self, used: Counts, elapsed_s: float) -> None:
        """A request ended, whether its answer did or not."""
        self._whole.observe(elapsed_s)
        self._prompt.inc(used.num_prompt_tokens)
        self._generated.inc(used.num_completion_tokens)
        self._prompt_sizes.observe(used.num_prompt_tokens)
        self._answer_sizes.observe(used.num_completion_tokens)


class Metrics:
    """All figures of one server."""

    def __init__(self, loads: EngineLoads = tuple) -> None:
        self._registry = CollectorRegistry()
        self._models: dict[str, ModelMetrics] = {}
        counter, histogram = partial(Counter, registry=self._registry), partial(Histogram, registry=self._registry)
        self.finished = counter("bise:request_success", "Answers that ended.", (*_MODEL, "finished_reason"))
        self.refused = counter("bise:requests_refused", "Requests turned away before work.", ("code",))
        self.prompt = counter("bise:prompt_tokens", "Tokens of prompts.", _MODEL)
        self.generated = counter("bise:generation_tokens", "Tokens of answers.", _MODEL)
        self.first_token = histogram(
            "bise:time_to_first_token_seconds", "From the request to the first token.", _MODEL, buckets=_FIRST_TOKEN_S
        )
        self.between = histogram(
            "bise:inter_token_latency_seconds", "Between two pieces of an answer.", _MODEL, buckets=_BETWEEN_S
        )
        self.whole = histogram(
            "bise:e2e_request_latency_seconds", "From the request to its end.", _MODEL, buckets=_WHOLE_S
        )
        self.prompt_sizes = histogram("bise:request_prompt_tokens", "Tokens of a prompt.", _MODEL, buckets=_TOKENS)
        self.answer_sizes = histogram("bise:request_generation_tokens", "Tokens of an answer.", _MODEL, buckets=_TOKENS)
        self._registry.register(_EngineCollector(loads))

    def of(self, model: str) -> ModelMetrics:
        """The figures of a model on offer."""
        found = self._models.get(model)
        if found is None:
            found = self._models[model] = ModelMetrics(self, model)
        return found

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)


class _EngineCollector(Collector):
    """Reads the engine's own figures when they are asked for."""

    def __init__(self, loads: EngineLoads) -> None:
        self._loads = loads

    def collect(self) -> Iterator[Metric]:
        """Tell them."""
        loads = self._loads()
        for prefix in ("bise", "vllm"):
            yield _gauge(f"{prefix}:num_requests_waiting", "Sequences that wait.", loads, lambda s: s.num_waiting)
            yield _gauge(f"{prefix}:kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1.", loads, _share)
        yield _gauge("bise:num_requests_running", "Sequences being computed.", loads, lambda s: s.num_running)
        yield _counter("bise:prefix_cache_queries", "Prompt tokens looked for.", loads, lambda s: s.num_prompt_tokens)
        yield _counter("bise:prefix_cache_hits", "Of these, not computed again.", loads, lambda s: s.num_cached_tokens)
        yield _counter("bise:num_preemptions", "Sequences put back.", loads, lambda s: s.num_preemptions)

    def describe(self) -> Iterator[Metric]:
        """Nothing: what is told depends on the moment."""
        return iter(())


def _share(stats: EngineStats) -> float:
    return stats.num_used_blocks / max(stats.num_blocks, 1)


def _gauge(name: str, words: str, loads: tuple[EngineLoad, ...], read: Callable[[EngineStats], float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=_MODEL)
    for load in loads:
        family.add_metric([load.model], read(load.stats) if load.stats is not None else 0)
    return family


def _counter(name: str, words: str, loads: tuple[EngineLoad, ...], read: Callable[[EngineStats], float]) -> Metric:
    family = CounterMetricFamily(name, words, labels=_MODEL)
    for load in loads:
        family.add_metric([load.model], read(load.stats) if load.stats is not None else 0)
    return family
