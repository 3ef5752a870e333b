"""Instructions for embedding queries so that they match a run's vectors.

Vectors compare only with those of the same model, number of dimensions and form of task: a query
embedded in another way gives plausible but wrong neighbours, and nothing else would show it.
"""

from __future__ import annotations

from typing import Any

from reembed.config.models import ModelSpec
from reembed.config.schema import Config
from reembed.config.tasks import DOCUMENT_TASK, QUERY_NAMES, SYMMETRIC_TASKS, TaskStyle

_NO_OTHER_MODEL = "vectors of another model or another task form do not compare with these"
_MEDIA = "a query that is an image, audio, video or PDF is sent without task text"


def query_contract(config: Config) -> dict[str, Any]:
    """Give the query form that matches a run's vectors, as JSON has it, for ``report.json``.

    ``query`` (and each of ``other_queries``) has the text to send, with ``{q}`` for the query, and
    the ``taskType`` field for models that take one; ``request`` is a whole example body of
    ``embedContent``. Where the run's own vectors are queries, ``query_task`` is the documents' and
    ``{q}`` stands for a document.
    """
    spec, model = config.model.spec(), config.model
    style: TaskStyle = spec.task_style
    partner = _partner(model.task)
    others = _others() if partner == "retrieval_query" else ()
    text = _form(style, partner)
    notes = [_NO_OTHER_MODEL]
    if len(spec.modalities()) > 1:
        notes.append(_MEDIA)
    notes.append(_truncation(spec))
    return {
        "model": model.name,
        "dimensions": model.dimensions,
        "task": model.task,
        "query_task": partner,
        "query": text,
        "other_queries": {task: _form(style, task) for task in others},
        "request": _request(text, model.dimensions),
        "normalise": "divide each query vector by its length; the stored vectors have length 1",
        "similarity": "dot product, which is then the cosine",
        "notes": notes,
    }


def _partner(task: str) -> str:
    """Return the task of what is compared with vectors of `task`."""
    if task == DOCUMENT_TASK:
        return "retrieval_query"
    return task if task in SYMMETRIC_TASKS else DOCUMENT_TASK


def _others() -> tuple[str, ...]:
    return tuple(
        name for name in QUERY_NAMES if name not in SYMMETRIC_TASKS and name != "retrieval_query"
    )


def _form(style: TaskStyle, task: str) -> dict[str, str]:
    if style == "field":
        return {"text": "{q}", "taskType": task.upper()}
    if task == DOCUMENT_TASK:
        return {"text": "title: none | text: {q}"}
    return {"text": f"task: {QUERY_NAMES[task]} | query: {{q}}"}


def _request(form: dict[str, str], dimensions: int) -> dict[str, Any]:
    body: dict[str, Any] = {"content": {"parts": [{"text": form["text"]}]}}
    if "taskType" in form:
        body["taskType"] = form["taskType"]
    body["outputDimensionality"] = dimensions
    return body


def _truncation(spec: ModelSpec) -> str:
    if spec.unit_length == "always":
        return (
            "the first d values of a longer vector, divided by their length, equal the model's "
            "d-dimensional vector: cut stored vectors and queries alike"
        )
    return (
        "ask for queries in exactly this number of dimensions; the service itself normalises "
        f"only vectors of {spec.max_dimensions} values"
    )
