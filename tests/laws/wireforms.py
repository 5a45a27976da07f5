"""Wire forms: the many ways in which suppliers put one script on the wire.

A `Form` is drawn independently of the script. `payloads` gives the JSON texts of the chunks, `body` their bytes as an
event stream, `reads` those bytes cut anywhere and read back by the shim's payload reader.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import strategies as st
from script import Call, Script

from shim.upstream.sse import PayloadReader


@dataclass(frozen=True)
class Form:
    """How a script is written. `seed` decides where strings are cut and which chunks are merged."""

    seed: int = 0
    pieces: int = 3
    merge: float = 0.3
    noise: float = 0.0
    whole: bool = False
    ascii_only: bool = True
    halves: bool = False
    reasoning: str = "reasoning_content"
    index: str = "proper"
    ids: str = "once"
    names: str = "once"
    interleave: bool = False
    finish: str = "alone"
    synonym: int = 0
    usage: str = "separate"
    who: str = "every"
    fenced: bool = False
    done: bool = True
    line_end: str = "\n"
    comments: bool = False
    bom: bool = False
    fields: bool = False
    multiline: bool = False
    last_blank: bool = True
    cuts: int = 5


forms = st.builds(
    Form,
    seed=st.integers(0, 2**32),
    pieces=st.integers(1, 6),
    merge=st.sampled_from([0.0, 0.3, 0.9]),
    noise=st.sampled_from([0.0, 0.3]),
    whole=st.sampled_from([False, False, False, False, True]),
    ascii_only=st.booleans(),
    halves=st.booleans(),
    reasoning=st.sampled_from(["reasoning_content", "reasoning", "<think>", "<thinking>", "parts"]),
    index=st.sampled_from(["proper", "none", "zero"]),
    ids=st.sampled_from(["once", "repeated"]),
    names=st.sampled_from(["once", "repeated", "blank", "null", "split"]),
    interleave=st.booleans(),
    finish=st.sampled_from(["alone", "with the last"]),
    synonym=st.integers(0, 3),
    usage=st.sampled_from(["separate", "with the finish", "every", "in the choice"]),
    who=st.sampled_from(["every", "first", "last"]),
    fenced=st.booleans(),
    done=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    comments=st.booleans(),
    bom=st.booleans(),
    fields=st.booleans(),
    multiline=st.booleans(),
    last_blank=st.booleans(),
    cuts=st.integers(0, 12),
)

_FINISH = {
    "stop": ["stop", "tool_calls", "function_call", "eos"],
    "length": ["length", "max_tokens", "LENGTH", "model_length"],
    "content_filter": ["content_filter", "SAFETY", "content-filter", "recitation"],
}


@dataclass
class _Writer:
    """Writes one script in one form."""

    script: Script
    form: Form
    chat_names: dict[tuple[str, str, str], str]
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.form.seed)

    # -- cutting ----------------------------------------------------------------------------------------------

    def cut(self, text: str, most: int | None = None) -> list[str]:
        """A text in pieces, none empty; over halves of surrogate pairs if the form says so."""
        if not text:
            return []
        units = _units(text) if self.form.halves else list(text)
        count = min(len(units) - 1, self.random.randint(0, (most or self.form.pieces) - 1))
        places = sorted(self.random.sample(range(1, len(units)), count))
        return [
            "".join(units[start:end]) for start, end in zip([0, *places], [*places, len(units)], strict=True)
        ]

    # -- what is said -----------------------------------------------------------------------------------------

    def arguments(self, call: Call) -> str:
        """A call's arguments as this supplier's model spells them."""
        if call.text is not None:
            return call.text
        said = dict(call.said)
        fence = self.form.fenced and call.tool.grammar and said["input"].endswith("\n")
        if fence and said["input"].strip() and not said["input"].endswith("\n\n"):
            said["input"] = f"```lark\n{said['input']}```"
        names = list(said)
        self.random.shuffle(names)
        separators = self.random.choice([(",", ":"), (", ", ": "), (" ,\n", " : ")])
        return json.dumps(
            {name: said[name] for name in names},
            ensure_ascii=self.random.random() < 0.5,
            separators=separators,
        )

    def atoms(self) -> Iterator[dict[str, Any]]:
        """The smallest deltas, in order."""
        yield from self._reasoning()
        yield from self._text()
        yield from ({"refusal": piece} for piece in self.cut(self.script.refusal))
        yield from ({"tool_calls": [entry]} for entry in self._entries())

    def _reasoning(self) -> Iterator[dict[str, Any]]:
        way = self._way()
        if way == "parts":
            for piece in self.cut(self.script.reasoning):
                yield {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": piece}]}]}
        elif way in ("reasoning", "reasoning_content"):
            yield from ({way: piece} for piece in self.cut(self.script.reasoning))

    def _way(self) -> str:
        """How reasoning goes: tags only where white space around them does not matter."""
        way = self.form.reasoning
        if not way.startswith("<"):
            return way
        reasoning, text = self.script.reasoning, self.script.text
        if self.form.whole and self.script.logprobs:
            return "reasoning_content"  # the log probabilities of tags and answer would be in one list
        clear = reasoning and reasoning == reasoning.strip() and text == text.lstrip()
        return way if clear else "reasoning_content"

    def _text(self) -> Iterator[dict[str, Any]]:
        way, text, front = self._way(), self.script.text, ""
        if way.startswith("<"):
            space = self.random.choice(["", "\n", "\n\n"])
            before, after = self.random.choice(["", "\n"]), self.random.choice(["", "\n", " \n"])
            front = f"{way}{before}{self.script.reasoning}{after}{way.replace('<', '</')}{space}"
            front = self.random.choice(["", "\n"]) + front
        pieces: list[dict[str, Any]] = [{"content": piece} for piece in self.cut(front)]
        content = self.cut(text)
        tokens = self.script.logprobs
        bounds = sorted(self.random.randint(0, len(tokens)) for _ in content[:-1])
        for piece, start, end in (
            zip(content, [0, *bounds], [*bounds, len(tokens)], strict=True) if content else ()
        ):
            pieces.append({"content": piece, "logprobs": list(tokens[start:end])})
        yield from pieces
        for entry in self.script.citations:
            yield {"annotations": [entry]}

    # -- calls ------------------------------------------------------------------------------------------------

    def _entries(self) -> list[dict[str, Any]]:
        """The entries of all calls; each call begins after the one before it has begun."""
        with_ids = all(call.call_id for call in self.script.calls)
        index = self.form.index if with_ids else "proper"
        lines = [list(self._call(place, call, index)) for place, call in enumerate(self.script.calls)]
        if not self.form.interleave or index == "zero":
            return [entry for line in lines for entry in line]
        begun, entries = 0, []
        while any(lines):
            place = self.random.randrange(min(begun + 1, len(lines)))
            if lines[place]:
                begun = max(begun, place + 1)
                entries.append(lines[place].pop(0))
            else:
                begun = max(begun, place + 1)
        return entries

    def _call(self, place: int, call: Call, index: str) -> Iterator[dict[str, Any]]:
        pieces = self.cut(self.arguments(call))
        first = self.random.choice(["", None, "absent", "piece"])
        head = (pieces.pop(0) if pieces else "") if first == "piece" else first
        name = self.chat_names[(call.tool.kind, call.tool.namespace or "", call.tool.name)]
        split = self.form.names == "split" and not self.form.interleave and head in ("", None, "absent")
        for number, piece in enumerate([head, *pieces]):
            function = {} if piece == "absent" else {"arguments": piece}
            named = number == 0 or self.form.names == "repeated"
            function |= {"name": name if named else {"blank": "", "null": None}.get(self.form.names)}
            if not named and self.form.names in ("once", "split"):
                del function["name"]
            ident = call.call_id and (number == 0 or self.form.ids == "repeated" or index == "none")
            entry = {"index": 0 if index == "zero" else place, "id": call.call_id, "type": "function"}
            if index == "none":
                del entry["index"]
            if not ident:
                entry["id"] = None
            if number == 0 and split:
                yield entry | {"function": function | {"name": name[:3]}}
                entry, function = {**entry}, {"name": name[3:], "arguments": ""}
            yield entry | {"function": function}

    # -- chunks -----------------------------------------------------------------------------------------------

    def deltas(self) -> list[dict[str, Any]]:
        """Atoms merged into deltas."""
        deltas: list[dict[str, Any]] = []
        for atom in self.atoms():
            if deltas and self.random.random() < self.form.merge and _mergeable(deltas[-1], atom):
                deltas[-1] = _merged(deltas[-1], atom)
            else:
                deltas.append(atom)
        return deltas

    def chunks(self) -> list[dict[str, Any]]:
        """The chunks of a stream."""
        choices = [self._choice(delta) for delta in self.deltas()]
        reason = self.random.choice(_FINISH[self.script.finish][: self.form.synonym + 1])
        if self.form.finish == "alone" or not choices:
            choices.append({"index": 0, "delta": {}, "finish_reason": reason})
        else:
            choices[-1]["finish_reason"] = reason
        finishing = choices[-1]
        chunks = [{"choices": [choice]} for choice in self._noisy(choices)]
        self._tell_usage(chunks, finishing)
        self._tell_who(chunks)
        return chunks

    def _choice(self, delta: dict[str, Any]) -> dict[str, Any]:
        delta = dict(delta)
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": None}
        tokens = delta.pop("logprobs", None)
        if tokens:
            choice["logprobs"] = {"content": tokens, "refusal": None}
        return choice

    def _noisy(self, choices: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for choice in choices:
            if self.random.random() < self.form.noise:
                yield dict(self.random.choice(_NOISE))
            yield choice

    def _tell_usage(self, chunks: list[dict[str, Any]], finishing: dict[str, Any]) -> None:
        usage = self.script.usage
        if usage is None:
            return
        last = next(chunk for chunk in chunks if finishing in chunk["choices"])
        if self.form.usage == "every":
            for chunk in chunks:
                chunk["usage"] = {"prompt_tokens": 1, "completion_tokens": 0}
        if self.form.usage == "in the choice":
            finishing["usage"] = usage
        elif self.form.usage == "separate":
            chunks.append({"choices": [], "usage": usage})
        else:
            last["usage"] = usage

    def _tell_who(self, chunks: list[dict[str, Any]]) -> None:
        who = {"first": chunks[:1], "last": chunks[-1:], "every": chunks}[self.form.who]
        for chunk in who:
            chunk["model"] = self.script.model
            chunk["service_tier"] = self.script.tier
        for chunk in chunks:
            chunk |= {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1}

    def completion(self) -> dict[str, Any]:
        """The answer of a supplier that ignores `stream: true`."""
        message: dict[str, Any] = {"role": "assistant", "content": self.script.text or None}
        way = self._way()
        if way.startswith("<"):
            message["content"] = f"{way}{self.script.reasoning}{way.replace('<', '</')}\n{self.script.text}"
        elif self.script.reasoning:
            message[way if way != "parts" else "reasoning"] = self.script.reasoning
        if self.script.refusal:
            message["refusal"] = self.script.refusal
        if self.script.citations:
            message["annotations"] = list(self.script.citations)
        if self.script.calls:
            message["tool_calls"] = [self._whole_call(*numbered) for numbered in enumerate(self.script.calls)]
        reason = _FINISH[self.script.finish][0]
        choice = {"index": 0, "message": message, "finish_reason": reason}
        choice["logprobs"] = {"content": list(self.script.logprobs)} if self.script.logprobs else None
        return {
            "object": "chat.completion",
            "choices": [choice],
            "usage": self.script.usage,
            "model": self.script.model,
            "service_tier": self.script.tier,
        }

    def _whole_call(self, place: int, call: Call) -> dict[str, Any]:
        name = self.chat_names[(call.tool.kind, call.tool.namespace or "", call.tool.name)]
        function = {"name": name, "arguments": self.arguments(call)}
        entry: dict[str, Any] = {"type": "function", "function": function}
        return entry | ({"id": call.call_id} if call.call_id else {"index": place})


_NOISE: list[dict[str, Any]] = [
    {"index": 0, "delta": {"role": "assistant"}},
    {"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None},
    {"index": 0, "delta": {"content": "", "tool_calls": [], "refusal": None}, "finish_reason": ""},
    {"index": 0, "delta": None, "logprobs": None},
    {"index": 1, "delta": {"content": "of another choice"}},
    {"delta": {"reasoning_content": "", "reasoning": None, "annotations": None}},
]


def _units(text: str) -> list[str]:
    """UTF-16 units, as JavaScript sees a text."""
    data = text.encode("utf-16-le")
    return [data[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(data), 2)]


_ORDER = ["reasoning_content", "reasoning", "content", "logprobs", "annotations", "refusal", "tool_calls"]
"""In which order the parts of one delta are read."""


def _mergeable(delta: dict[str, Any], atom: dict[str, Any]) -> bool:
    last, first = max(map(_ORDER.index, delta)), min(map(_ORDER.index, atom))
    return last < first or set(delta) >= set(atom) == {"tool_calls"}


def _merged(delta: dict[str, Any], atom: dict[str, Any]) -> dict[str, Any]:
    if "tool_calls" in delta and "tool_calls" in atom:
        return delta | {"tool_calls": delta["tool_calls"] + atom["tool_calls"]}
    return delta | atom


def payloads(script: Script, form: Form, chat_names: dict[tuple[str, str, str], str]) -> list[str]:
    """The chunks as JSON texts, without the final `[DONE]`."""
    writer = _Writer(script, form, chat_names)
    if form.whole:
        return [_dumped(writer.completion(), ascii_only=form.ascii_only)]
    return [_dumped(chunk, ascii_only=form.ascii_only) for chunk in writer.chunks()]


def _dumped(value: dict[str, Any], *, ascii_only: bool) -> str:
    text = json.dumps(value, ensure_ascii=ascii_only)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def body(texts: list[str], form: Form) -> bytes:
    """The bytes of the answer."""
    if form.whole:
        return texts[0].encode()
    end = form.line_end
    events = [_event(text, form) for text in [*texts, *(["[DONE]"] if form.done else [])]]
    if form.comments:
        events = [f": still here{end}{end}:{end}", *events]
    written = "".join(events)
    if not form.last_blank:
        written = written.removesuffix(end).removesuffix(end)
    return (b"\xef\xbb\xbf" if form.bom else b"") + written.encode()


def _event(text: str, form: Form) -> str:
    end = form.line_end
    data = text.replace("{", f"{{{end}data:", 1) if form.multiline else text
    space = "" if form.seed % 2 else " "
    head = f"event: message{end}id: {form.seed}{end}retry: 10{end}" if form.fields else ""
    return f"{head}data:{space}{data}{end}{end}"


def reads(data: bytes, form: Form) -> list[list[str]]:
    """The payloads of each network read, the bytes cut anywhere."""
    random = Random(form.seed)
    places = sorted(random.randint(0, len(data)) for _ in range(form.cuts))
    reader = PayloadReader()
    found = [
        reader.feed(data[start:end]) for start, end in zip([0, *places], [*places, len(data)], strict=True)
    ]
    return [*found, reader.finish()]
