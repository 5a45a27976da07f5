"""Planted bugs: each must make a named test fail, or a test is missing.

    python tests/mutants.py                run all
    python tests/mutants.py --list         name them
    python tests/mutants.py names-doubled          run some

The package is copied, with its tests, into a temporary folder; the working tree is never touched. A bug is one exact
piece of text, found once in its file, and what stands there instead. Exit status 1 if a bug survives or cannot be
planted.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing import connection
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple, TypeVar

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 2
NOTHING = "(nothing planted)"
TOO_LONG = "took too long"
SECONDS = 120
"""After which a bug counts as killed: one that makes the tests hang was noticed."""
ALL_SECONDS = 1200
"""The same for tests with nothing planted, which have failed then."""

ONE_AT_A_TIME = threading.Lock()
"""Held while a process is started or joined, since `multiprocessing` then looks after all others as well."""

NURSERY = multiprocessing.get_context("forkserver")
"""Processes that have imported already what every test needs and no bug is planted in."""
NURSERY.set_forkserver_preload(
    [
        "httptools",
        "httpx",
        "httpx_sse",
        "hypothesis.strategies",
        "openai",
        "pydantic",
        "pytest",
        "pytest_asyncio.plugin",
        "sqlalchemy.ext.asyncio",
        "starlette.applications",
        "uvicorn",
        "uvloop",
        "websockets.asyncio.client",
    ]
)


T = TypeVar("T")


class Mutant(NamedTuple):
    """One planted bug and the tests that must notice it."""

    name: str
    file: str
    old: str
    new: str
    tests: str


LAWS = "tests/laws/test_laws_response.py"
NAIVE = f"{LAWS}::test_the_stream_obeys_the_grammar_and_says_what_a_naive_reader_predicts"
FORMS = f"{LAWS}::test_two_wire_forms_of_one_script_give_the_same_response"
CHUNKS = "tests/laws/test_laws_chunks.py"
PAYLOADS = "tests/laws/test_laws_forms.py"
RUNS = "tests/laws/test_laws_runs.py"
AHEAD = "tests/upstream/test_upstream_connections.py"
STRIDES = "tests/laws/test_laws_strides.py"
FAULTS = "tests/laws/test_laws_faults.py"
TEXT = "tests/laws/test_laws_text.py"
CLIENTS = "tests/laws/test_laws_clients.py"
HISTORY = "tests/laws/test_laws_history.py"
SSE = "tests/upstream/test_upstream_sse.py"
REQUEST = "tests/request/test_request_laws.py"
CONTENT = "tests/request/test_request_content.py"
REPLAY = "tests/request/test_request_replay.py"
SCHEMA = "tests/request/test_request_schema.py"
TOOLS = "tests/request/test_request_tools.py"
VALIDATION = "tests/request/test_request_validation.py"
PAGES = "tests/http/test_http_pages.py"
HELD = "tests/limits/test_limits_held.py"
CYCLES = "tests/http/test_http_cycles.py"
SEAL = "tests/exchange/test_seal.py"
SEAL_KEYS = "tests/exchange/test_seal_keys.py"
OWNERS = "tests/exchange/test_owners.py"
GARBAGE = (
    "tests/limits/test_limits_garbage.py::test_however_an_answer_ends_nothing_of_it_waits_for_the_collector"
)
LIMITS_TABLE = "tests/limits/test_limits_table.py"
TAKEOVER = "tests/stateful/test_background_takeover.py"
CALIBRATIONS = "tests/store/test_store.py::TestCalibrations"
EVICTION = "tests/store/test_store_eviction.py"
HISTORIES = "tests/store/test_store_histories.py"
WEIGHED = f"{HISTORIES}::test_a_history_may_have_exactly_as_many_bytes_as_are_allowed"
NETWORK = "tests/cli/test_cli_network.py"
COMMANDS = "tests/cli/test_cli_commands.py::TestSettings"
REQUEST_LIMITS = "tests/limits/test_limits_requests.py"
SLOTS = "tests/limits/test_limits_slots.py"
CONNECTIONS = "tests/limits/test_limits_connections.py"
LINE = "tests/limits/test_limits_line.py"
REFERRED = "tests/limits/test_limits_history.py"
UNREAD = "tests/limits/test_limits_unread.py"
LINGERING = "tests/limits/test_limits_lingering.py"
FRAMES = "tests/limits/test_limits_frames.py"
ANSWERS = "tests/limits/test_limits_answers.py"
DEADLINES = "tests/limits/test_limits_deadlines.py"
WIRE = "tests/upstream/test_upstream_connections.py"
SHELF = "tests/upstream/test_upstream_shelf.py"
DECODING = "tests/upstream/test_upstream_decoding.py"
UPSTREAM_FAULTS = "tests/faults/test_faults_upstream.py::test_a_fault_ends_as_the_table_says"
CLIENT_FAULTS = "tests/faults/test_faults_clients.py"
STOPPING = "tests/faults/test_faults_process_stopping.py"
STORE_FAULTS = "tests/faults/test_faults_process_store.py"
CLOCK = "tests/faults/test_faults_process_clock.py"
COUNTED = "tests/store/test_store.py::TestEvents::test_events_count_once_and_only_while_they_are_kept"
GIVEN_BACK = (
    "tests/store/test_store_opening.py::TestGivingBack"
    "::test_a_purge_gives_all_free_pages_back_to_the_file_system"
)

MUTANTS = [
    # -- time and room in proportion to what comes
    Mutant(
        "paths-in-full",
        "core/jsonstrings.py",
        "for container in self._stack[:LONGEST_PATH]",
        "for container in self._stack",
        f"{TEXT}::test_a_deep_string_has_a_short_path",
    ),
    Mutant(
        "bottomless-arguments",
        "core/jsonstrings.py",
        "        if len(self._stack) == DEEPEST:\n",
        "        if len(self._stack) < 0:\n",
        f"{TEXT}::test_what_is_nested_deeper_than_parsers_read_is_broken_and_held_no_longer",
    ),
    Mutant(
        "tags-in-one-piece",
        "core/text.py",
        "        for start in range(0, len(text), SLICE):\n            self.buffer += text[start : start + SLICE]\n",
        "        for start in (0,):\n            self.buffer += text[start:]\n",
        f"{TEXT}::test_a_long_piece_with_many_tags_is_looked_at_in_slices",
    ),
    Mutant(
        "taken-names-again-and-again",
        "core/messages.py",
        "max(len(turn.calls), turn.ids.get(call_id, 0))",
        "len(turn.calls)",
        "tests/request/test_request_history.py::test_names_that_are_taken_are_passed_over_once",
    ),
    Mutant(
        "choices-again-and-again",
        "core/tools.py",
        "named = {(one.type, one.namespace, one.name): one for one in choice.tools}.values()",
        "named = choice.tools",
        f"{TOOLS}::test_a_choice_that_names_tools_again_and_again_looks_for_each_once",
    ),
    Mutant(
        "names-without-end",
        "core/deltas.py",
        "    if len(call.name) > LONGEST_NAME:\n",
        "    if len(call.name) < 0:\n",
        f"{ANSWERS}::test_the_name_of_a_call_is_bounded_however_it_comes",
    ),
    Mutant(
        "citations-for-nothing",
        "core/deltas.py",
        'found["title"], CITATION_BYTES)',
        'found["title"])',
        f"{ANSWERS}::test_citations_count_with_what_they_take",
    ),
    Mutant(
        "logprobs-for-nothing",
        "core/deltas.py",
        'LOGPROB_BYTES + max(size_of(one["token"])',
        'max(size_of(one["token"])',
        f"{ANSWERS}::test_log_probabilities_count_with_what_they_take",
    ),
    Mutant(
        "alternatives-without-end",
        "core/fields.py",
        "for one in top[:MOST_ALTERNATIVES] if",
        "for one in top if",
        f"{CHUNKS}::test_no_more_alternatives_are_told_than_the_api_gives",
    ),
    Mutant(
        "octets-of-any-size",
        "core/fields.py",
        " and octet in _OCTETS for octet in octets",
        " for octet in octets",
        CHUNKS,
    ),
    Mutant(
        "logprobs-unasked",
        "exchange/exchange.py",
        'scored="logprobs" in translation.chat,',
        "scored=True,",
        "tests/exchange/test_exchange_turns.py::test_log_probabilities_are_read_if_they_were_asked_for",
    ),
    Mutant(
        "lessons-under-long-names",
        "exchange/keeping.py",
        "now, name = monotonic(), hash(instrument)",
        "now, name = monotonic(), instrument",
        "tests/exchange/test_exchange_lessons.py",
    ),
    Mutant(
        "prompt-beside-a-number",
        "exchange/prompts.py",
        "    if not isinstance(given, str | list):\n        return given\n",
        "",
        "tests/stateful/test_prompts.py::test_input_of_another_kind_is_refused_beside_that_of_a_prompt",
    ),
    Mutant(
        "half-a-pair-in-the-catalog",
        "upstream/catalog.py",
        "return scrub(value).strip()",
        "return value.strip()",
        "tests/upstream/test_upstream_catalog.py::test_half_a_surrogate_pair_in_any_name_can_be_told",
    ),
    Mutant(
        "all-jobs-gone-through",
        "store/jobs.py",
        ".order_by(jobs.c.response_key + 0)",
        ".order_by(jobs.c.response_key)",
        "tests/store/test_store_queue.py",
    ),
    Mutant(
        "notes-without-end",
        "http/logs.py",
        "if isinstance(value, list) and len(value) > MOST_NOTES:",
        "if isinstance(value, list) and not value:",
        "tests/http/test_http_logs.py::test_a_line_for_machines_is_short_however_much_a_client_says",
    ),
    Mutant(
        "values-without-end",
        "http/logs.py",
        "if isinstance(value, str) and len(value) > LONGEST_VALUE:",
        "if isinstance(value, str) and not value:",
        "tests/http/test_http_logs.py::test_a_line_for_machines_is_short_however_much_a_client_says",
    ),
    Mutant(
        "old-list-kept-waiting",
        "upstream/shelf.py",
        "else WAIT_WITH_LIST_SECONDS",
        "else WAIT_SECONDS",
        f"{SHELF}::test_a_refresh_that_hangs_is_not_awaited_for_long_by_who_has_a_list",
    ),
    # -- faults on real sockets
    Mutant(
        "acknowledged-is-sent-again",
        "upstream/http1.py",
        "self._undelivered = bool(self._unsent() or self._unacknowledged())",
        "self._undelivered = True",
        f"{WIRE}::test_what_may_have_arrived_is_sent_once",
    ),
    Mutant(
        "crossing-request-is-lost",
        "upstream/troubles.py",
        '    (Undelivered, Kind("{}", sent=False)),\n',
        "",
        f"{WIRE}::test_a_request_that_crosses_the_end_of_a_kept_connection_is_sent_again_at_once",
    ),
    Mutant(
        "gateway-timeout-is-repeated",
        "upstream/retry.py",
        "RETRIED = frozenset({402, ",
        "RETRIED = frozenset({504, 402, ",
        "tests/upstream/test_upstream_client.py::test_what_cannot_pass_is_not_tried_again",
    ),
    Mutant(
        "bomb-at-once",
        "upstream/decoding.py",
        "decompress(self._rest, PIECE_BYTES)",
        "decompress(self._rest)",
        f"{DECODING}::test_a_bomb_comes_out_in_small_pieces",
    ),
    Mutant(
        "decoder-left-with-the-rest",
        "upstream/decoding.py",
        "self._full = len(data) == PIECE_BYTES and not self._decoder.eof",
        "self._full = False",
        f"{DECODING}::test_what_the_decoder_still_has_after_its_last_byte_came_is_read",
    ),
    Mutant(
        "bomb-in-a-bomb",
        "upstream/decoding.py",
        "if len(encodings) > 1 or not DECLINED",
        "if not DECLINED",
        f"{DECODING}::test_what_has_no_bounds_is_declined",
    ),
    Mutant(
        "status-below-100",
        "upstream/http1.py",
        "if status < FIRST_STATUS:",
        "if status < 0:",
        f"{UPSTREAM_FAULTS}[a-status-below-100-without-a-body-plain]",
    ),
    Mutant(
        "finish-awaits-the-end",
        "exchange/turn.py",
        "            self.chat.conclude()\n",
        "",
        f"{UPSTREAM_FAULTS}[signs-of-life-without-end-after-the-finish-stream]",
    ),
    Mutant(
        "token-counts-unbounded",
        "core/fields.py",
        "and value in _COUNTS:",
        "and 0 <= value:",
        f"{UPSTREAM_FAULTS}[token-counts-beyond-reason-stream]",
    ),
    Mutant(
        "faults-without-a-code",
        "errors.py",
        '    code: str | None = "server_error"\n',
        "",
        f"{UPSTREAM_FAULTS}[a-redirect-to-a-private-address-stream]",
    ),
    Mutant(
        "half-open-is-gone",
        "http/halfclose.py",
        "        self._probe()\n        return True",
        "        self._probe()\n        return False",
        f"{CLIENT_FAULTS}::test_who_only_stops_sending_gets_every_answer",
    ),
    Mutant(
        "gone-is-half-open",
        "http/halfclose.py",
        "        if self._probes:\n",
        "        if not self._probes:\n",
        f"{CLIENT_FAULTS}::test_the_upstream_is_left_when_its_reader_is_gone",
    ),
    Mutant(
        "few-open-files",
        "cli/process.py",
        "    gc.set_threshold(*SERVING)\n    open_many_files()\n",
        "    gc.set_threshold(*SERVING)\n",
        f"{CLIENT_FAULTS}::test_ten_thousand_idle_connections_are_held_and_requests_answered",
    ),
    Mutant(
        "one-in-line-hears-of-the-end",
        "http/halfclose.py",
        "        if working is not None and not working.response_complete:\n            working.leave",
        "        if working is self.cycle and not working.response_complete:\n            working.leave",
        f"{CLIENT_FAULTS}::test_a_pipelined_request_does_not_hide_that_its_client_is_gone",
    ),
    # -- the end of a process
    Mutant(
        "waiting-lines-are-lost-at-the-end",
        "cli/server.py",
        "                finish_logging()\n",
        "                pass\n",
        "tests/faults/test_faults_process_descriptors.py"
        "::test_lines_that_wait_when_the_process_is_asked_to_end_are_read_by_who_goes_on_reading",
    ),
    Mutant(
        "chat-is-cut-in-silence",
        "http/passthrough.py",
        '            await send({"type": "http.response.body", "body": error, "more_body": True})\n',
        "",
        "tests/http/test_http_passthrough.py::test_a_stream_that_is_cut_off_says_so_and_is_not_done",
    ),
    Mutant(
        "chat-is-told-within-a-line",
        "http/passthrough.py",
        "self._last in b",
        "self._last not in b",
        "tests/http/test_http_passthrough.py",
    ),
    Mutant(
        "a-worker-that-ends-takes-what-it-refuses",
        "cli/server.py",
        "        if self._alone is not None and self._alone():\n",
        "        if self._alone is not None and not self._alone:\n",
        f"{STOPPING}::test_a_worker_that_alone_is_asked_to_end_lets_the_others_serve_and_is_replaced",
    ),
    Mutant(
        "a-signal-to-all-is-a-second-one",
        "cli/server.py",
        "        if self._alone is None:\n            self.force_exit",
        "        if sig != HURRY:\n            self.force_exit",
        f"{STOPPING}::test_a_signal_to_all_processes_of_a_group_drains_as_one_to_the_first",
    ),
    Mutant(
        "hang-ups-kill",
        "cli/server.py",
        "        for number in ours:  # those",
        "        for number in ours[1:]:  # those",
        f"{STOPPING}::test_what_runs_ends_whole_and_what_is_new_is_refused",
    ),
    Mutant(
        "nohup-ends-too",
        "cli/server.py",
        "if one is not None and signal.getsignal(one) == signal.SIG_DFL]",
        "if one is not None]",
        f"{STOPPING}::test_a_signal_that_is_ignored_stays_so",
    ),
    # -- refusals of those who still send
    Mutant(
        "bodies-that-break-off-are-not-answered",
        "http/heads.py",
        "        if self.idle or self._interrupted():\n",
        "        if self.idle:\n",
        f"{LINGERING}::test_a_body_that_is_no_http_is_told_so",
    ),
    Mutant(
        "offer-of-an-unknown-protocol-heard",
        "http/heads.py",
        "(?![ \\t]*websocket[ \\t]*\\r\\n)",
        "(?=[ \\t]*h2c[ \\t]*\\r\\n)",
        f"{CLIENT_FAULTS}::test_what_is_rare_but_sound_is_served",
    ),
    Mutant(
        "words-taken-as-they-are",
        "http/logs.py",
        "    if not are_plain(words):\n",
        "    if not words:\n",
        "tests/http/test_http_logs.py::test_a_model_s_name_cannot_forge_a_line_or_a_word",
    ),
    Mutant(
        "any-letter-is-plain",
        "http/logs.py",
        "text.isascii() and not text.encode().translate(None, _PLAIN)",
        "text.isprintable()",
        "tests/http/test_http_logs.py",
    ),
    Mutant(
        "words-without-end",
        "http/logs.py",
        "and max(map(len, words), default=0) <= MAX_WORD",
        "",
        "tests/http/test_http_logs.py",
    ),
    Mutant(
        "protocol-without-slots",
        "http/lingering.py",
        '    __slots__ = ("_left", "_limits", "_lingering", "_way", "lingers")\n',
        "",
        "tests/http/test_http_cycles.py",
    ),
    Mutant(
        "line-kept-from-who-listens-too",
        "http/logs.py",
        "    if len(hear) != 1 or",
        "    if not hear or",
        "tests/http/test_http_logs.py::test_a_line_is_the_same_whoever_else_listens",
    ),
    Mutant(
        "line-past-its-filter",
        "http/logs.py",
        "if writer.filters or",
        "if",
        "tests/http/test_http_logs.py::test_a_filter_hears_of_requests",
    ),
    Mutant(
        "escapes-in-tracebacks",
        "http/logs.py",
        'map(_one_line, self.formatException(record.exc_info).split("\\n"))',
        'self.formatException(record.exc_info).split("\\n")',
        "tests/http/test_http_logs.py::test_nothing_from_outside_moves_a_terminal_or_breaks_a_line",
    ),
    Mutant(
        "indexes-not-counted",
        "core/deltas.py",
        'self._spend("", KEY_BYTES)',
        "pass",
        "tests/limits/test_limits_answers.py::test_what_a_call_is_known_by_counts",
    ),
    Mutant(
        "ids-not-counted",
        "core/deltas.py",
        "self._spend(said.call_id, KEY_BYTES)",
        "pass",
        "tests/limits/test_limits_answers.py::test_what_a_call_is_known_by_counts",
    ),
    Mutant(
        "long-tokens-not-counted",
        "core/deltas.py",
        'max(size_of(one["token"]), len(one["bytes"]))',
        'len(one["bytes"])',
        "tests/limits/test_limits_answers.py::test_a_long_token_counts_whatever_its_bytes_are_said_to_be",
    ),
    Mutant(
        "a-full-queue-keeps-who-leaves",
        "exchange/background.py",
        "with suppress(Fault):\n                await task",
        "with suppress(StoreFault):\n                await task",
        f"{TAKEOVER}::test_who_leaves_a_full_queue_has_left",
    ),
    Mutant(
        "jobs-of-one-without-number",
        "store/jobs.py",
        "held.jobs >= queue.jobs",
        "False",
        "tests/stateful/test_background.py::test_a_client_can_only_have_so_much_waiting",
    ),
    Mutant(
        "jobs-of-one-without-weight",
        "store/jobs.py",
        "> queue.request_bytes:",
        "> 1 << 60:",
        "tests/stateful/test_background.py::test_a_client_can_only_have_so_much_waiting",
    ),
    Mutant(
        "jobs-of-all-counted-as-one",
        "store/jobs.py",
        ').where(jobs.c.owner == bindparam("of"))\n_RENEW',
        ")\n_RENEW",
        "tests/stateful/test_background.py::test_a_client_can_only_have_so_much_waiting",
    ),
    Mutant(
        "full-is-ready",
        "http/health.py",
        "if self._slots.full:",
        "if not self._slots:",
        f"{SLOTS}::test_requests_in_all_are_bounded_and_health_is_never_refused",
    ),
    Mutant(
        "refusals-are-lost-in-a-reset",
        "http/lingering.py",
        "            self.linger()\n",
        "            self.transport.close()\n",
        f"{LINGERING}::test_a_refusal_reaches_a_client_that_sends_all_before_it_reads",
    ),
    Mutant(
        "no-http-is-lost-in-a-reset",
        "http/heads.py",
        "            self.linger()\n        else:",
        "            self.transport.close()\n        else:",
        f"{LINGERING}::test_what_is_no_http_is_told_so_while_more_comes",
    ),
    Mutant(
        "tls-lingers-on",
        "http/lingering.py",
        "            self.transport.abort()\n",
        "            self.transport.close()\n",
        f"{NETWORK}::test_a_client_that_sends_on_after_a_refusal_hears_it_and_is_cut_off[https-time]",
    ),
    Mutant(
        "watched-before-it-is-known-by-whom",
        "http/heads.py",
        "        self._unread = Unread(transport, self._limits.send_seconds)\n        self._unread.watch()\n",
        "        unread = Unread(transport, self._limits.send_seconds)\n        unread.watch()\n        self._unread = unread\n",
        f"{NETWORK}::test_a_client_that_sends_on_after_a_refusal_hears_it_and_is_cut_off",
    ),
    Mutant(
        "what-nobody-reads-may-go-on",
        "http/lingering.py",
        "        if self._left < 0:\n",
        "        if self._left < 0 and self._left > 0:\n",
        f"{LINGERING}::test_a_client_that_goes_on_sending_is_cut_off[linger_bytes]",
    ),
    Mutant(
        "early-answers-keep-the-connection",
        "http/call.py",
        "and not self.received\n",
        "and self.received\n",
        f"{LINGERING}::test_a_client_that_sends_no_more_is_closed_within_the_time",
    ),
    Mutant(
        "values-of-headers-unchecked",
        "http/cycles.py",
        '            or (values := b"".join(said.values())) != values.translate(None, _NOT_IN_VALUES)\n',
        "",
        f"{CYCLES}::test_whatever_is_sent_is_answered_as_uvicorn_would",
    ),
    Mutant(
        "length-unchecked",
        "http/cycles.py",
        "if len(body) != self.expected_content_length or",
        "if",
        f"{CYCLES}::test_whatever_is_sent_is_answered_as_uvicorn_would",
    ),
    Mutant(
        "connection-kept-against-its-word",
        "http/cycles.py",
        "            self.keep_alive = False\n",
        "            pass\n",
        f"{CYCLES}::test_whatever_is_sent_is_answered_as_uvicorn_would",
    ),
    Mutant(
        "slow-reader-not-waited-for",
        "http/cycles.py",
        "            await self.flow.drain()\n",
        "",
        f"{CYCLES}::test_a_slow_reader_is_waited_for_before_each_piece",
    ),
    Mutant(
        "head-lost-with-its-body",
        "http/lingering.py",
        "            self._working.flush()\n",
        "            pass\n",
        f"{CYCLES}::test_who_breaks_off_before_the_body_has_sent_the_head",
    ),
    Mutant(
        "leaving-heard-by-nobody",
        "http/cycles.py",
        "            self._told()\n",
        "            pass\n",
        CYCLES,
    ),
    Mutant(
        "unread-body-hides-the-leaving",
        "http/call.py",
        "if connection is not None and self.received:",
        "if connection is not None:",
        "tests/http/test_http_stream.py::test_a_body_that_nobody_wants_is_received_so_that_the_client_s_leaving_is_heard",
    ),
    # -- the list of instruments
    Mutant(
        "junk-key-holds-all-up",
        "upstream/shelf.py",
        "        if known and fault.status not in REFUSALS:\n",
        "        if known or fault.status not in REFUSALS:\n",
        f"{SHELF}::test_a_strangers_failure_is_its_own",
    ),
    Mutant(
        "refused-key-holds-all-up",
        "upstream/shelf.py",
        "        if known and fault.status not in REFUSALS:\n",
        "        if known:\n",
        f"{SHELF}::test_a_known_key_that_is_refused_holds_up_no_other",
    ),
    Mutant(
        "junk-keys-flood-the-upstream",
        "upstream/shelf.py",
        "self._is_known(who) or not many",
        "True",
        f"{SHELF}::test_a_flood_of_made_up_keys_is_no_flood_upstream",
    ),
    Mutant(
        "another-keys-list-is-not-heard-of",
        "upstream/shelf.py",
        "[news, *self._flights.values()]",
        "self._flights.values()",
        f"{SHELF}::test_a_refresh_that_hangs_holds_up_no_other_key",
    ),
    Mutant(
        "late-failure-makes-a-list-stale",
        "upstream/shelf.py",
        "            if now >= self._expires:",
        "            if True:",
        f"{SHELF}::test_a_refresh_that_fails_after_another_came_through_makes_nothing_stale",
    ),
    Mutant(
        "answered-keys-stay-strangers",
        "upstream/client.py",
        "        self._shelf.accepted(key)\n        return ChatStream",
        "        return ChatStream",
        "tests/upstream/test_upstream_catalog.py::test_a_key_with_which_chat_was_answered_waits_behind_no_stranger",
    ),
    # -- chunks to deltas
    Mutant(
        "names-doubled",
        "core/deltas.py",
        "if not call.started and said.name and call.name != said.name:",
        "if said.name:",
        f"{CHUNKS}::test_calls_are_put_together_however_they_come",
    ),
    Mutant(
        "interleaved-calls-merged",
        "core/deltas.py",
        "return self._by_index.get(said.place) or (None if said.name else by_id)",
        "return self._calls[-1] if self._calls else None",
        FORMS,
    ),
    Mutant(
        "zero-indexes-merged",
        "core/deltas.py",
        "        if said.call_id and call.call_id and said.call_id != call.call_id:\n            return True\n",
        "",
        f"{CHUNKS}::test_calls_are_put_together_however_they_come",
    ),
    Mutant(
        "nameless-call-completes",
        "core/deltas.py",
        "        if not call.name:\n            raise UpstreamFault",
        "        if call.name is None:\n            raise UpstreamFault",
        f"{FAULTS}::test_a_call_that_never_gets_a_name_fails",
    ),
    Mutant(
        "arguments-scanned-again",
        "core/deltas.py",
        "        self.scanned = len(self.arguments)\n",
        "",
        f"{FAULTS}::test_a_long_call_costs_the_same_for_each_further_piece",
    ),
    Mutant(
        "surrogates-not-joined",
        "core/deltas.py",
        "        text = self._text.feed(text)\n",
        "        text = scrub(text)\n",
        NAIVE,
    ),
    Mutant(
        "length-is-completed",
        "core/fields.py",
        '"length": "length length_limit',
        '"length": "length_limit',
        CHUNKS,
    ),
    Mutant(
        "summary-for-nothing",
        "core/assembler.py",
        "together(usage, self.shape.spent) if self.shape.spent else usage",
        "usage",
        CHUNKS,
    ),
    Mutant(
        "usage-in-the-finish-chunk-lost",
        "core/deltas.py",
        'chunk.get("usage") or (choice or {}).get("usage")',
        'not choice and chunk.get("usage")',
        NAIVE,
    ),
    Mutant(
        "half-a-text-at-the-end-lost",
        "core/deltas.py",
        "if self._text.held or not self._tags.is_steady():",
        "if not self._tags.is_steady():",
        f"{NAIVE} {CHUNKS}",
    ),
    Mutant(
        "beginning-of-a-tag-at-the-end-lost",
        "core/deltas.py",
        "if self._text.held or not self._tags.is_steady():",
        "if self._text.held:",
        f"{NAIVE} {CHUNKS}",
    ),
    Mutant(
        "refusal-lost",
        "core/deltas.py",
        "self._emit(RefusalText, self._refusal.feed(refusal), deltas)",
        "self._refusal.feed(refusal)",
        NAIVE,
    ),
    Mutant(
        "held-text-after-the-calls",
        "core/deltas.py",
        "    def _tool_calls(self, entries: Any, deltas: list[Delta]) -> None:\n"
        "        self._route(self._tags.release(), deltas)\n",
        "    def _tool_calls(self, entries: Any, deltas: list[Delta]) -> None:\n",
        NAIVE,
    ),
    Mutant(
        "error-chunk-ignored",
        "core/deltas.py",
        'if "choices" not in chunk or "error" in chunk:',
        'if "choices" not in chunk:',
        f"{FAULTS}::test_an_error_inside_the_stream_ends_it_as_failed",
    ),
    Mutant(
        "logprob-overflow",
        "core/fields.py",
        "(isinstance(value, float) and isnan(value))",
        "isnan(value)",
        f"{CHUNKS}::test_log_probabilities_are_whole_whatever_the_supplier_left_out",
    ),
    Mutant(
        "cached-tokens-lost",
        "core/fields.py",
        'cached_tokens=count_of(prompt.get("cached_tokens"), usage.get("prompt_cache_hit_tokens"))',
        "cached_tokens=0",
        NAIVE,
    ),
    Mutant(
        "unclosed-call-tag-invented",
        "core/text.py",
        'self._tell(f"{front}{CALL_OPEN}{said}{closing}", pieces)',
        'self._tell(f"{front}{CALL_OPEN}{said}{CALL_CLOSE}", pieces)',
        CHUNKS,
    ),
    Mutant(
        "tags-in-a-code-fence-run",
        "core/text.py",
        "        if found and self.fenced:\n",
        "        if found and False:\n",
        f"{TEXT} {CHUNKS}",
    ),
    Mutant(
        "text-after-a-tag-withheld",
        "core/text.py",
        '        if start.startswith(("{", "[", FUNCTION_OPEN)):\n',
        "        if start:\n",
        TEXT,
    ),
    Mutant(
        "second-think-block-is-text",
        "core/text.py",
        "        self.buffer = self.buffer.lstrip()\n        if self._opens_thought():\n            return True\n",
        "        self.buffer = self.buffer.lstrip()\n",
        TEXT,
    ),
    Mutant(
        "held-fence-looked-at-again",
        "core/text.py",
        '        return (self.state == "start" or self.closing) and text.isspace()\n',
        "        return False\n",
        f"{FAULTS}::test_long_runs_of_white_space_and_backticks_cost_no_more_than_text",
    ),
    Mutant(
        "tokens-of-tags-in-the-answer",
        "core/deltas.py",
        "            self._logprobs = []  # they belong to the tags and to what stands between them\n",
        "            pass\n",
        CHUNKS,
    ),
    Mutant(
        "first-of-two-names-taken",
        "core/deltas.py",
        "return name in self.names and name not in self._beginnings",
        "return name in self.names",
        CHUNKS,
    ),
    Mutant(
        "repeated-call-runs-twice",
        "core/deltas.py",
        "        if call is not None and _repeats(call, said):\n            return\n",
        "",
        CHUNKS,
    ),
    Mutant(
        "calls-without-arguments-merged",
        "core/deltas.py",
        "        if said.name != call.name and {said.name, call.name} <= self.names:\n            return True\n",
        "",
        CHUNKS,
    ),
    Mutant(
        "message-repeats-the-deltas",
        "core/deltas.py",
        'body = (choice.get("message") if given is None else given) or {}',
        'body = given or choice.get("message") or {}',
        CHUNKS,
    ),
    Mutant(
        "parameters-always-text",
        "core/dialects.py",
        'found[2] if value is None and found[2].strip() != "null" else value',
        "found[2]",
        CHUNKS,
    ),
    Mutant(
        "unknown-reason-is-success",
        "core/fields.py",
        "    if reason := _FINISH_REASONS.get(word):\n",
        '    if reason := _FINISH_REASONS.get(word, "stop"):\n',
        CHUNKS,
    ),
    Mutant(
        "null-reason-finishes",
        "core/fields.py",
        '_NO_REASON = frozenset({"", "null", "none"})',
        '_NO_REASON = frozenset({""})',
        CHUNKS,
    ),
    # -- short ways: each must say what the long way says
    Mutant(
        "who-answers-told-once",
        "core/deltas.py",
        "[] if said == self._said else",
        "[] if self._served else",
        CHUNKS,
    ),
    Mutant(
        "rare-key-not-looked-at",
        "core/deltas.py",
        '_RARE = frozenset({"annotations", "refusal", "tool_calls", "function_call"})',
        '_RARE = frozenset({"refusal", "tool_calls", "function_call"})',
        CHUNKS,
    ),
    Mutant(
        "later-choice-not-looked-at",
        "core/fields.py",
        "            if not isinstance(value, dict):\n                break\n        else:\n            return values\n",
        "            if isinstance(value, dict):\n                return values\n        if not values:\n            return values\n",
        f"{CHUNKS} {FAULTS}",
    ),
    Mutant(
        "named-call-goes-on",
        "core/deltas.py",
        "call.started and not (said.name or said.call_id):",
        "call.started and not said.call_id:",
        CHUNKS,
    ),
    Mutant(
        "untold-call-goes-on",
        "core/deltas.py",
        "call.started and not (said.name or said.call_id):",
        "not (said.name or said.call_id):",
        CHUNKS,
    ),
    Mutant("tag-passes", "core/text.py", '"[<`]"', '"[`]"', TEXT),
    Mutant("fence-passes", "core/text.py", '"[<`]"', '"[<]"', TEXT),
    Mutant("end-of-a-fence-passes", "core/text.py", "self.buffer or self.ticks)", "self.buffer)", TEXT),
    Mutant(
        "text-overtakes-what-is-held-back",
        "core/text.py",
        "(self.buffer or self.ticks)",
        "(self.ticks)",
        TEXT,
    ),
    Mutant("front-ends-at-white-space", "core/text.py", " and not first.isspace():", ":", TEXT),
    Mutant("front-ends-while-a-tag-begins", "core/text.py", 'if first != "<" and ', "if ", TEXT),
    Mutant(
        "front-ends-with-what-was-held-back",
        "core/text.py",
        "and text and not (self.buffer or self.blank):",
        "and text:",
        TEXT,
    ),
    Mutant(
        "plain-text-overtakes-a-half",
        "core/text.py",
        "if not self.held and piece.isascii():",
        "if piece.isascii():",
        TEXT,
    ),
    Mutant("key-is-a-value", "core/jsonstrings.py", "self._in_key or self._escape", "self._escape", TEXT),
    Mutant(
        "plain-piece-in-an-escape", "core/jsonstrings.py", "self._escape or self._high", "self._high", TEXT
    ),
    Mutant("plain-piece-after-a-half", "core/jsonstrings.py", " or self._high or not", " or not", TEXT),
    Mutant("string-without-its-place", "core/jsonstrings.py", "self._place = self.path", "pass", TEXT),
    Mutant(
        "cut-reads-read-by-lines",
        "upstream/sse.py",
        "            if end and len(whole)",
        "            if None and len(whole)",
        SSE,
    ),
    Mutant(
        "read-after-a-cut-read-by-lines", "upstream/sse.py", "= data.partition(END)", '= data, b"", b""', SSE
    ),
    Mutant(
        "cut-event-lost",
        "upstream/sse.py",
        "                rest = cut\n",
        '                rest = b""\n',
        SSE,
    ),
    Mutant("first-data-line-lost", "upstream/sse.py", "        self._decoded(kept)\n", "", SSE),
    Mutant("data-line-kept-within-an-event", "upstream/sse.py", "self._between and line", "line", SSE),
    Mutant("kept-line-not-counted", "upstream/sse.py", "len(self._kept) + self", "self", SSE),
    Mutant("plain-events-with-cr", "upstream/sse.py", 'if "\\r" not in text:', "if text is not None:", SSE),
    Mutant("plain-event-of-many-lines", "upstream/sse.py", 'if "\\n" not in text:', "if text:", SSE),
    Mutant(
        "plain-events-of-many-lines",
        "upstream/sse.py",
        ' and "\\n" not in "".join(events):',
        ":",
        SSE,
    ),
    Mutant(
        "plain-event-beyond-the-limit",
        "upstream/sse.py",
        "        if self.between and data.startswith(DATA) and data.endswith(END, 0, self._limit)",
        "        if self.between and data.startswith(DATA) and data.endswith(END)",
        SSE,
    ),
    Mutant("plain-events-beyond-the-limit", "upstream/sse.py", "len(data) <= self._limit and", "", SSE),
    Mutant(
        "plain-event-of-nothing", "upstream/sse.py", "return [text] if text else []", "return [text]", SSE
    ),
    Mutant(
        "plain-events-after-half-a-line",
        "upstream/sse.py",
        "return self._between and not self._lines.is_waiting()",
        "return self._between",
        SSE,
    ),
    Mutant(
        "plain-events-within-an-event",
        "upstream/sse.py",
        "return self._between and not self._lines.is_waiting()",
        "return not self._lines.is_waiting()",
        SSE,
    ),
    Mutant(
        "plain-events-whatever-came-before",
        "upstream/sse.py",
        "        self.between = self._reader.between\n",
        "",
        SSE,
    ),
    Mutant(
        "heartbeat-while-a-piece-is-sent",
        "http/stream.py",
        "                self._relaying = True\n",
        "",
        "tests/http/test_http_stream.py",
    ),
    Mutant(
        "departure-taken-for-a-failure",
        "http/stream.py",
        "        except ClientGone:\n            raise\n",
        "",
        "tests/http/test_http_stream.py",
    ),
    Mutant(
        "piece-overtakes-a-heartbeat",
        "http/stream.py",
        "                if self._beat is not None:\n",
        "                if None:\n",
        "tests/http/test_http_stream.py",
    ),
    Mutant(
        "heartbeat-before-its-time",
        "http/stream.py",
        "elif now - self._last_sent >= self._keepalive:",
        "else:",
        "tests/http/test_http_stream.py",
    ),
    Mutant(
        "heartbeat-lost-without-a-trace",
        "http/stream.py",
        "                self._lost = True\n                await",
        "                await",
        "tests/http/test_http_stream.py",
    ),
    Mutant(
        "silence-watched-after-the-end",
        "http/stream.py",
        "                self._timer.cancel()",
        "                pass",
        "tests/http/test_http_stream.py",
    ),
    Mutant(
        "one-heartbeat-and-no-more",
        "http/stream.py",
        "        self._beat = None\n        self._watch()",
        "        self._beat = None",
        "tests/http/test_http_stream.py",
    ),
    Mutant(
        "forked-processes-share-ids",
        "ambient.py",
        "    os.register_at_fork(after_in_child=_tokens.clear)",
        "    os.register_at_fork(before=_tokens.copy)",
        "tests/exchange/test_exchange_ambient.py",
    ),
    Mutant(
        "coded-body-taken-as-it-is",
        "http/heads.py",
        'value.strip().lower() != b"chunked":',
        "not value:",
        f"{CLIENT_FAULTS}::test_what_is_no_request_is_refused_once_and_asks_no_model",
    ),
    Mutant(
        "long-ids-looked-up-as-they-are",
        "store/responses.py",
        "{one: stored_key(one) for one in named}",
        "{one: one for one in named}",
        "tests/store/test_store.py",
    ),
    Mutant(
        "offer-of-another-protocol-heard",
        "http/heads.py",
        "            data = without_offer(data)\n",
        "            pass\n",
        f"{CLIENT_FAULTS}::test_what_is_rare_but_sound_is_served",
    ),
    # -- chunks that repeat
    Mutant(
        "more-of-what-is-barred",
        "core/deltas.py",
        "self._steady = form, self._tags.barred()",
        "self._steady = form, None",
        PAYLOADS,
    ),
    Mutant("more-in-an-unsteady-state", "core/deltas.py", " and self._tags.is_steady():", ":", PAYLOADS),
    Mutant(
        "more-though-it-is-unsteady-since",
        "core/deltas.py",
        "        self._steady = None\n        if self._form",
        "        if self._form",
        PAYLOADS,
    ),
    Mutant(
        "more-takes-no-room",
        "core/deltas.py",
        "        self.room -= size\n        if not texts:",
        "        if not texts:",
        PAYLOADS,
    ),
    Mutant(
        "more-overtakes-half-a-text",
        "core/deltas.py",
        "elif not self._text.held and self._tags",
        "elif self._tags",
        PAYLOADS,
    ),
    Mutant("more-overtakes-a-half", "core/deltas.py", "None if self._reasoning.held else ", "", PAYLOADS),
    Mutant("more-than-there-is-room-for", "core/deltas.py", "size <= self.room for", "size for", PAYLOADS),
    Mutant(
        "more-takes-empty-texts",
        "core/chunks.py",
        "    if not text:\n        return False",
        "    if text is None:\n        return False",
        PAYLOADS,
    ),
    Mutant(
        "blanks-of-what-is-no-form",
        "core/chunks.py",
        'if "".join((front, f"{back}{front}".join(blanks), back)) != "".join(payloads):',
        "if not payloads[0].startswith(front):",
        PAYLOADS,
    ),
    Mutant("blanks-that-are-empty", "core/chunks.py", "(all(blanks) and _CLOSED", "(_CLOSED", PAYLOADS),
    Mutant(
        "blanks-that-end-themselves",
        "core/chunks.py",
        ' and _CLOSED.fullmatch("\\n".join(blanks)))',
        ")",
        PAYLOADS,
    ),
    Mutant(
        "blanks-of-what-is-barred",
        "core/chunks.py",
        'if texts and (barred is None or not barred.search("".join(texts))):',
        "if texts:",
        PAYLOADS,
    ),
    Mutant("run-numbered-from-zero", "core/runs.py", "count(self.number)", "count(0)", RUNS),
    Mutant(
        "run-takes-no-numbers",
        "core/assembler.py",
        "self.number = number + len(texts)",
        "self.number = number",
        RUNS,
    ),
    Mutant("run-in-another-item", "core/assembler.py", " and item.says == kind and key", " and key", RUNS),
    Mutant(
        "run-of-another-call", "core/assembler.py", " and key == self._open_key and self", " and self", RUNS
    ),
    Mutant(
        "more-of-a-call-overtakes-a-half",
        "core/deltas.py",
        "if call is not None and not call.joiner.held:",
        "if call is not None:",
        PAYLOADS,
    ),
    Mutant("more-of-a-call-forgotten", "core/deltas.py", "        call.arguments += texts\n", "", PAYLOADS),
    Mutant("stride-beyond-the-room", "core/strides.py", "room < 0 or not text", "not text", STRIDES),
    Mutant("stride-takes-no-room", "core/strides.py", "            reader.room = room\n", "", STRIDES),
    Mutant("stride-over-nothing", "core/strides.py", " or not text or (", " or (", STRIDES),
    Mutant(
        "stride-over-what-is-barred",
        "core/strides.py",
        " or (barred is not None and barred(text)):",
        ":",
        STRIDES,
    ),
    Mutant(
        "stride-unheard",
        "core/strides.py",
        "                heard.append(from_json(b'\"%b\"' % said))\n",
        "                pass\n",
        STRIDES,
    ),
    Mutant("stride-untold", "core/strides.py", "            loose.append(text)\n", "", STRIDES),
    Mutant(
        "stride-without-numbers",
        "core/strides.py",
        "            assembler.number = number + 1\n",
        "",
        STRIDES,
    ),
    Mutant(
        "stride-keeps-each-word-anew",
        "core/strides.py",
        "heard.append(from_json(b'\"%b\"' % said))",
        "heard.append(text)",
        STRIDES,
    ),
    Mutant(
        "stride-of-several-lines",
        "core/strides.py",
        "one_line(as_json(text).encode())",
        "as_json(text).encode()",
        STRIDES,
    ),
    Mutant(
        "stride-takes-what-is-escaped-as-it-came",
        "core/strides.py",
        """ or "\\\\" in text""",
        "",
        STRIDES,
    ),
    Mutant(
        "stride-takes-what-is-quoted-within", "core/strides.py", """ or '"' in text:  #""", ":  #", STRIDES
    ),
    Mutant(
        "stride-takes-what-no-string-holds",
        "core/strides.py",
        "not text.isprintable() or ",
        "",
        STRIDES,
    ),
    Mutant(
        "stride-counts-what-is-escaped", "core/strides.py", "size, said = size_of(text), ", "said = ", STRIDES
    ),
    Mutant(
        "stride-over-what-was-not-put-out",
        "core/strides.py",
        "            if not put(",
        "            if None is put(",
        STRIDES,
    ),
    Mutant(
        "stride-over-an-end-that-overlaps",
        "core/strides.py",
        "            if size != len(data) - around or size > longest:",
        "            if size > longest:",
        SSE,
    ),
    Mutant(
        "number-beyond-the-table",
        "core/strides.py",
        " if number < TABLED_NUMBERS else",
        " if number <= TABLED_NUMBERS else",
        STRIDES,
    ),
    Mutant(
        "stride-pads-by-bytes",
        "core/strides.py",
        "noise(len(text))",
        "noise(len(said))",
        STRIDES,
    ),
    Mutant(
        "uvicorn-makes-its-own-cycles",
        "http/halfclose.py",
        '    on_headers_complete = making_cycles(cast("FunctionType", HttpToolsProtocol.on_headers_complete))\n',
        "",
        "tests/http/test_http_cycles.py",
    ),
    Mutant(
        "size-beyond-the-table",
        "http/cycles.py",
        " if size < TABLED_SIZES else",
        " if size <= TABLED_SIZES else",
        "tests/http/test_http_cycles.py",
    ),
    Mutant(
        "padding-of-other-lengths",
        "ambient.py",
        "for length in range(PADDED_TO)]",
        "for length in range(1, PADDED_TO + 1)]",
        "tests/exchange/test_exchange_ambient.py",
    ),
    Mutant(
        "interim-answer-after-a-cancelled-head-is-whole",
        "upstream/http1.py",
        "        if self.status:\n            self._complete",
        "        if self.head.done():\n            self._complete",
        AHEAD,
    ),
    Mutant(
        "unwatched-answer-kept-after-the-upstreams-end",
        "exchange/turn.py",
        "                    break  # it is kept",
        "                    pass  # it is kept",
        LAWS,
    ),
    Mutant(
        "many-payloads-looked-at-in-vain",
        "core/chunks.py",
        "            self.together = LEAST_TOGETHER\n        return",
        "        return",
        PAYLOADS,
    ),
    Mutant(
        "few-payloads-together",
        "core/chunks.py",
        "self.together = min(2 * self.together, MOST_TOGETHER)",
        "self.together = LEAST_TOGETHER",
        PAYLOADS,
    ),
    Mutant(
        "departure-told-before-the-work-begins",
        "http/cycles.py",
        "asyncio.get_running_loop().call_soon(told)",
        "told()",
        CYCLES,
    ),
    Mutant(
        "ahead-of-several-lines", "upstream/sse.py", 'if "\\n" in front or "\\n" in back:', "if None:", SSE
    ),
    Mutant("ahead-beyond-the-limit", "core/strides.py", " or size > longest:", ":", SSE),
    Mutant(
        "ahead-within-an-event",
        "upstream/stream.py",
        "source.wait(ahead if self._reader.between else None)",
        "source.wait(ahead)",
        "tests/upstream/test_upstream_client.py",
    ),
    Mutant(
        "ahead-goes-on-elsewhere",
        "exchange/turn.py",
        "self.stride = self.passage = None",
        "self.stride = None",
        STRIDES,
    ),
    Mutant(
        "closed-turn-leads-back",
        "exchange/turn.py",
        "        self.outlet = self.passage = None",
        "        pass",
        STRIDES,
    ),
    Mutant("ahead-beyond-the-time", "upstream/http1.py", " and now < self._until", "", AHEAD),
    Mutant("ahead-beyond-the-bytes", "upstream/http1.py", " and left >= 0", "", AHEAD),
    Mutant(
        "ahead-uncounted",
        "upstream/http1.py",
        "self._left_bytes, self._asked = left, now",
        "self._asked = now",
        AHEAD,
    ),
    Mutant(
        "ahead-counts-as-silence",
        "upstream/http1.py",
        "self._left_bytes, self._asked = left, now",
        "self._left_bytes = left",
        AHEAD,
    ),
    Mutant(
        "ahead-not-read-by-who-waits",
        "upstream/http1.py",
        "            parts.append(part)\n",
        "",
        AHEAD,
    ),
    Mutant(
        "ahead-of-what-came-before",
        "upstream/http1.py",
        "if not parts and left",
        "if left",
        AHEAD,
    ),
    Mutant(
        "ahead-of-who-is-not-ready",
        "http/stream.py",
        " or not connection.put(piece):\n            return False",
        " or connection.put(piece):\n            return False",
        "tests/http/test_http_stream.py",
    ),
    Mutant(
        "put-out-to-a-slow-client",
        "http/cycles.py",
        "not self._chunking or self.flow.write_paused or self.disconnected",
        "not self._chunking or self.disconnected",
        CYCLES,
    ),
    Mutant(
        "put-out-before-the-head",
        "http/cycles.py",
        "not self._chunking or self.flow.write_paused or self.disconnected",
        "self.flow.write_paused or self.disconnected",
        CYCLES,
    ),
    Mutant(
        "put-out-to-nobody",
        "http/cycles.py",
        "not self._chunking or self.flow.write_paused or self.disconnected",
        "not self._chunking or self.flow.write_paused",
        CYCLES,
    ),
    Mutant(
        "ahead-past-a-heartbeat",
        "http/stream.py",
        " or self._beat is not None or not",
        " or not",
        "tests/http/test_http_stream.py",
    ),
    Mutant(
        "ahead-counts-as-silence-of-ours",
        "http/stream.py",
        "        self._last_sent = self._clock()\n        return True\n",
        "        return True\n",
        "tests/http/test_http_stream.py",
    ),
    Mutant(
        "stride-goes-on-elsewhere",
        "exchange/turn.py",
        "        self.stride = self.passage = None\n",
        "",
        STRIDES,
    ),
    Mutant(
        "silent-answer-tells",
        "core/assembler.py",
        "        if self.silent:\n            return\n",
        "",
        RUNS,
    ),
    Mutant(
        "silent-message-keeps-nothing",
        "core/items.py",
        "        self.parts.append(current)\n",
        "        if not self.silent:\n            self.parts.append(current)\n",
        RUNS,
    ),
    Mutant(
        "run-in-a-part-that-ended", "core/items.py", "self.part = self.frame = None", "self.part = None", RUNS
    ),
    Mutant("run-of-several-lines", "core/runs.py", "return one_line(", "return (", RUNS),
    Mutant(
        "pieces-that-stay-many",
        "core/text.py",
        "self.loose += pieces\n        if len(self.loose) >= JOINED_AT:",
        "self.loose += pieces\n        if None:",
        TEXT,
    ),
    Mutant(
        "pieces-one-by-one-that-stay-many",
        "core/text.py",
        "self.loose.append(piece)\n        if len(self.loose) >= JOINED_AT:",
        "self.loose.append(piece)\n        if None:",
        TEXT,
    ),
    Mutant(
        "pieces-of-strides-that-stay-many",
        "core/strides.py",
        "if len(loose) >= JOINED_AT:",
        "if None:",
        STRIDES,
    ),
    Mutant("pieces-told-twice", "core/text.py", "        self.loose.clear()\n", "", TEXT),
    Mutant("form-overlaps", "core/chunks.py", "start > end or ", "", PAYLOADS),
    Mutant(
        "form-not-probed",
        "core/chunks.py",
        "return form if fits else None",
        "return form",
        PAYLOADS,
    ),
    Mutant(
        "form-outlives-another-chunk",
        "core/deltas.py",
        "        self._form = None\n        chunk",
        "        chunk",
        PAYLOADS,
    ),
    Mutant(
        "form-with-a-legacy-call",
        "core/chunks.py",
        'if len(said) != 1 or isinstance(delta.get("function_call"), dict):',
        "if len(said) != 1:",
        PAYLOADS,
    ),
    Mutant(
        "form-forgets-the-call",
        "core/deltas.py",
        'Entry(index_of(form.place), "", "", said)',
        'Entry(None, "", "", said)',
        PAYLOADS,
    ),
    Mutant(
        "more-forgets-the-call",
        "core/deltas.py",
        'Entry(index_of(form.place), "", "", "")',
        'Entry(None, "", "", "")',
        PAYLOADS,
    ),
    # -- text in pieces
    Mutant(
        "tag-not-held-back",
        "core/text.py",
        "keep = 0 if found else held_back(before, self.closing)",
        "keep = 0",
        TEXT,
    ),
    Mutant(
        "fence-cut-open",
        "core/text.py",
        'ready = (ready if self.closing else text).removesuffix("\\n")',
        "ready = text",
        f"{TEXT} {NAIVE}",
    ),
    Mutant(
        "escape-cut",
        "core/jsonstrings.py",
        "        if self._escape:\n            return self._escaped(piece[at], at)\n",
        "        if self._escape and at:\n            return self._escaped(piece[at], at)\n",
        TEXT,
    ),
    Mutant(
        "escaped-pairs-lost",
        "core/jsonstrings.py",
        'if self._high and "\\udc00" <= character <= "\\udfff":',
        "if False:",
        NAIVE,
    ),
    # -- deltas to events
    Mutant("numbers-from-one", "core/assembler.py", "    number: int = 0\n", "    number: int = 1\n", NAIVE),
    Mutant(
        "call-released-early",
        "core/assembler.py",
        "            case _ if self._open_key is not None and not self._belongs(delta):\n",
        "            case _ if False:\n",
        f"{LAWS}::test_no_call_is_done_before_the_finish_reason",
    ),
    Mutant(
        "filtered-call-released",
        "core/assembler.py",
        '        return self.reason == "content_filter"\n',
        "        return False\n",
        CHUNKS,
    ),
    Mutant(
        "filtered-calls-told",
        "core/assembler.py",
        'return not (reason == "content_filter" and isinstance(place, int)) and not _is_blank(deltas)',
        "return not _is_blank(deltas)",
        NAIVE,
    ),
    Mutant(
        "cut-call-released",
        "core/assembler.py",
        "            return not (call.whole() or (call.blank() and not last))\n",
        "            return False\n",
        f"{CHUNKS}::test_at_the_limit_whole_calls_are_released_and_the_cut_one_is_not",
    ),
    Mutant(
        "blank-call-at-the-limit-released",
        "core/assembler.py",
        "(call.blank() and not last)",
        "call.blank()",
        CHUNKS,
    ),
    Mutant(
        "cut-call-keeps-its-tail",
        "core/assembler.py",
        "        call.cut()\n",
        "",
        f"{NAIVE} {CHUNKS}",
    ),
    Mutant(
        "place-of-an-untold-call-kept",
        "core/assembler.py",
        "        self._next_index = len(self.output)\n",
        "",
        f"{CHUNKS}::test_a_patch_cut_before_its_file_is_known_leaves_no_gap",
    ),
    Mutant(
        "calls-without-anything-to-run-released",
        "core/assembler.py",
        '        if self._called and reason == "stop":\n            self._check_calls()\n',
        "",
        CHUNKS,
    ),
    Mutant(
        "blank-text-after-calls-told",
        "core/assembler.py",
        " and not _is_blank(deltas)\n",
        "\n",
        CHUNKS,
    ),
    Mutant(
        "source-opens-a-message",
        "core/assembler.py",
        '        if isinstance(self._open, MessageBuilder) and self._open.part == "output_text":\n'
        "            self._open.annotate(citation.annotation)\n",
        "        self._message().annotate(citation.annotation)\n",
        CHUNKS,
    ),
    Mutant(
        "cut-stream-completed",
        "core/assembler.py",
        "        if self.reason is None:\n            return self.fail(cut_stream())\n",
        '        self.reason = self.reason or "stop"\n',
        f"{LAWS}::test_a_stream_cut_before_its_finish_fails_and_releases_no_call",
    ),
    Mutant(
        "call-ids-not-kept",
        "core/assembler.py",
        "call_id = given if given and given not in self._call_ids else",
        "call_id = given.strip('-é') if given and given not in self._call_ids else",
        NAIVE,
    ),
    Mutant(
        "repeated-call-ids",
        "core/assembler.py",
        "given if given and given not in self._call_ids else",
        "given if given else",
        CHUNKS,
    ),
    Mutant(
        "always-final-answer",
        "core/assembler.py",
        '"final_answer" if last and not self._called else "commentary"',
        '"final_answer"',
        NAIVE,
    ),
    Mutant(
        "usage-on-failure",
        "core/assembler.py",
        '        response["usage"] = None\n',
        "",
        f"{FAULTS}::test_an_error_inside_the_stream_ends_it_as_failed",
    ),
    Mutant(
        "events-share-the-output",
        "core/assembler.py",
        "        output = list(self.output)\n        if self._open",
        "        output = self.output\n        if self._open",
        f"{LAWS}::test_heartbeats_at_any_point_keep_the_grammar",
    ),
    Mutant(
        "padding-always",
        "core/assembler.py",
        'if "delta" in event and self.shape.obfuscation:',
        'if "delta" in event:',
        f"{LAWS}::test_padding_stands_on_every_delta_or_on_none",
    ),
    Mutant(
        "table-not-total",
        "core/assembler.py",
        "        if state is None:\n            raise IllegalTransitionError",
        '        if state is None and act != "finish":\n            raise IllegalTransitionError',
        f"{FAULTS}::test_every_act_in_every_state_is_in_the_table_or_an_error",
    ),
    Mutant(
        "tier-not-told",
        "core/assembler.py",
        '(self.served and self.served.service_tier) or "default"',
        '"default"',
        NAIVE,
    ),
    # -- items and calls
    Mutant("empty-arguments-stay-empty", "core/calls.py", 'self.grow("{}")', "pass", f"{NAIVE} {CHUNKS}"),
    Mutant(
        "custom-input-collected",
        "core/calls.py",
        '            self.door(self._delta("response.custom_tool_call_input.delta", text))\n',
        "",
        NAIVE,
    ),
    Mutant("raw-input-lost", "core/calls.py", "            self.raw = True\n", "", CHUNKS),
    Mutant(
        "patch-begins-too-early",
        "core/calls.py",
        'if not self.opened and {"type", "path"} <= self.complete:',
        "if not self.opened:",
        f"{CHUNKS}::test_a_patch_is_told_in_whatever_order_its_fields_come",
    ),
    Mutant(
        "vector-as-commands",
        "core/calls.py",
        '(name == "command" and not more)',
        'name == "command"',
        CHUNKS,
    ),
    Mutant(
        "wrapped-patch-lost",
        "core/calls.py",
        'name, *more = _unwrapped(piece.path, "operation")',
        "name, *more = piece.path",
        CHUNKS,
    ),
    Mutant(
        "lone-surrogates-lose-the-arguments",
        "core/jsonstrings.py",
        "        return scrubbed(json.loads(text))\n",
        "        return None\n",
        CHUNKS,
    ),
    Mutant(
        "diff-without-an-end",
        "core/calls.py",
        'if new and self._kind() != "delete_file":',
        "if new:",
        f"{CHUNKS}::test_a_patch_is_told_in_whatever_order_its_fields_come",
    ),
    Mutant(
        "shell-commands-run-together",
        "core/calls.py",
        "        if piece.done:\n            self._end_command()\n",
        "",
        CHUNKS,
    ),
    Mutant(
        "namespace-lost",
        "core/calls.py",
        '        if self.tool.namespace:\n            item["namespace"] = self.tool.namespace\n        return item\n\n\n@dataclass(slots=True)\nclass CustomCallBuilder',
        "        return item\n\n\n@dataclass(slots=True)\nclass CustomCallBuilder",
        f"{CHUNKS}::test_a_call_of_a_tool_in_a_namespace_names_it_and_its_namespace",
    ),
    Mutant(
        "seal-on-an-open-item",
        "core/items.py",
        'return self._item("".join(self.text), sealed=status != "in_progress")',
        'return self._item("".join(self.text), sealed=False)',
        f"{CHUNKS}::test_reasoning_is_sealed_if_the_client_asked_for_it_and_only_once_it_is_whole",
    ),
    Mutant(
        "summary-not-a-list",
        "core/items.py",
        'type="reasoning", summary=[], content=content)',
        'type="reasoning", summary=None, content=content)',
        NAIVE,
    ),
    Mutant(
        "part-done-forgotten",
        "core/items.py",
        '            self._part_event("response.content_part.done", current)\n',
        "",
        NAIVE,
    ),
    Mutant(
        "logprobs-of-the-message-lost",
        "core/items.py",
        "        self.logprobs.extend(logprobs)\n",
        "        pass\n",
        NAIVE,
    ),
    Mutant(
        "line-separators-raw",
        "core/sse.py",
        "if not data.isascii():",
        "if False:",
        f"{LAWS}::test_the_bytes_of_the_stream_are_its_events_in_three_lines_each",
    ),
    Mutant("template-without-user", "core/echo.py", "    user=None,\n", "", NAIVE),
    Mutant(
        "strictness-not-echoed",
        "core/echo.py",
        '"strict": True if strict is None else strict',
        '"strict": strict',
        CHUNKS,
    ),
    Mutant(
        "half-a-pair-in-the-text-raises",
        "core/jsonstrings.py",
        "except (ValueError, TypeError):",
        "except ValueError:",
        "tests/fuzz/test_fuzz.py::test_the_corpus_holds[jsonstrings-found_raw_surrogate]",
    ),
    # -- the exchange
    Mutant(
        "events-before-a-fault-lost",
        "exchange/turn.py",
        "            told += self._broken(fault)\n",
        "            return self._broken(fault)\n",
        f"{FAULTS}::test_what_came_before_a_fault_in_the_same_read_is_told",
    ),
    Mutant(
        "done-ignored",
        "exchange/turn.py",
        "        if payload == DONE:\n",
        "        if payload == DONE and False:\n",
        f"{FAULTS}::test_done_without_a_finish_reason_is_the_end_of_a_cut_stream",
    ),
    # -- the request side
    Mutant(
        "two-assistant-messages",
        "core/messages.py",
        "if not isinstance(last, AssistantTurn) or last.answered:",
        "if not isinstance(last, AssistantTurn) or last.calls:",
        REPLAY,
    ),
    Mutant(
        "asides-split-a-turn",
        "core/messages.py",
        "if isinstance(last, AssistantTurn) and not last.answered:",
        "if isinstance(last, AssistantTurn) and last.answered:",
        "tests/request/test_request_history.py::test_reasoning_of_the_running_tool_loop_goes_back_whatever_stands_within",
    ),
    Mutant(
        "blank-arguments-sent",
        "core/messages.py",
        'return arguments if arguments.strip() else "{}"',
        "return arguments",
        f"{HISTORY}::test_a_call_without_arguments_goes_back_with_an_empty_object",
    ),
    Mutant(
        "missing-output-not-said",
        "core/messages.py",
        '                self.notes.append(f"call {call.call_id!r} has no output")\n',
        "                continue\n",
        REQUEST,
    ),
    Mutant(
        "orphan-output-dropped",
        "core/messages.py",
        '        self._user(_tagged("tool_output", output, label))\n',
        "",
        f"{HISTORY}::test_an_output_whose_call_is_nowhere_is_told_as_text",
    ),
    Mutant(
        "system-in-the-middle",
        "core/messages.py",
        "elif self.profile.midway_system:",
        "elif True:",
        REQUEST,
    ),
    Mutant(
        "old-reasoning-replayed",
        "core/messages.py",
        'if self.replay == "turn" and turn.last < self.last_user:',
        "if False:",
        f"{HISTORY}::test_reasoning_goes_back_for_the_current_tool_loop_or_as_configured",
    ),
    Mutant(
        "images-of-outputs-lost",
        "core/messages.py",
        "                media.extend(call.output.media)\n",
        "                pass\n",
        f"{HISTORY}::test_images_of_outputs_follow_in_one_user_message_after_all_tool_messages",
    ),
    Mutant(
        "images-sent-to-the-blind",
        "core/content.py",
        "if self.instrument.images is False:",
        "if False:",
        CONTENT,
    ),
    Mutant(
        "part-dropped-without-a-note",
        "core/content.py",
        '                self.notes.append(f"{where}: a part of type {part.type!r} was left out")\n',
        "",
        CONTENT,
    ),
    Mutant(
        "names-too-long",
        "core/tools.py",
        "safe == full and 0 < len(safe) <= NAME_LIMIT",
        "safe == full and 0 < len(safe)",
        TOOLS,
    ),
    Mutant("allowed-tools-not-filtered", "core/tools.py", "if only is None or key in only]", "]", TOOLS),
    Mutant(
        "hosted-tool-forced",
        "core/tools.py",
        "            if _is_hosted(choice, toolbox):\n                raise _cannot_run(choice.type)\n",
        "",
        TOOLS,
    ),
    Mutant("foreign-keywords-sent", "core/schema.py", "keyword not in FOREIGN_KEYWORDS and", "", SCHEMA),
    Mutant(
        "schema-without-properties", "core/schema.py", '    clean.setdefault("properties", {})\n', "", SCHEMA
    ),
    Mutant(
        "schema-beats-a-forced-call",
        "core/request.py",
        "if forced and not self.profile.format_with_tools:",
        "if False:",
        TOOLS,
    ),
    Mutant(
        "patch-arguments-lost",
        "core/outputs.py",
        '_picked(operation, "type", "path", "diff")',
        '_picked(operation, "type", "path")',
        REPLAY,
    ),
    Mutant(
        "paths-show-tags",
        "core/validation.py",
        'elif not step.startswith("<") and step != "[key]":',
        'elif step != "[key]":',
        VALIDATION,
    ),
    # -- what an open stream holds
    Mutant(
        "request-held-while-its-stream-is-open",
        "http/routes.py",
        "        del body  # it may be",
        "        # it may be",
        f"{HELD}::test_a_stream_holds_no_more_of_its_input_than_it_must[not-stored]",
    ),
    Mutant(
        "request-held-by-its-lesson",
        "exchange/keeping.py",
        "        return partial(self._learn, instrument, estimated)",
        "        return lambda usage: self._learn(instrument, estimate_tokens(chat), usage)",
        f"{HELD}::test_a_stream_holds_no_more_of_its_input_than_it_must[not-stored]",
    ),
    Mutant(
        "every-turn-remembered",
        "exchange/exchange.py",
        "        if remembered:\n",
        "        if True:\n",
        f"{HELD}::test_a_stream_holds_no_more_of_its_input_than_it_must[not-stored]",
    ),
    Mutant(
        "history-held-by-what-keeps-the-turn",
        "exchange/exchange.py",
        "        return Keeper.of(self.store, asked.owner, asked.recalled).keep",
        "        return lambda answer: Keeper.of(self.store, asked.owner, asked.recalled).keep(answer)",
        f"{HELD}::test_a_stream_holds_nothing_that_is_stored_already",
    ),
    Mutant(
        "message-held-while-the-next-is-awaited",
        "http/websocket.py",
        "        while await self._take(await receive()):",
        "        while (message := await receive()) and await self._take(message):",
        f"{HELD}::test_a_stream_holds_no_more_of_its_input_than_it_must[stored-websocket]",
    ),
    Mutant(
        "chat-request-held-while-it-is-passed-through",
        "http/routes.py",
        "        del body  # as above",
        "        # as above",
        f"{HELD}::test_a_stream_holds_no_more_of_its_input_than_it_must[passed-through]",
    ),
    Mutant(
        "websocket-request-held-while-it-is-answered",
        "http/websocket.py",
        "            del create  # it may be",
        "            # it may be",
        f"{HELD}::test_a_stream_holds_no_more_of_its_input_than_it_must[stored-websocket]",
    ),
    Mutant(
        "websocket-request-held-beside-what-answers-it",
        "http/websocket.py",
        "        del create  # which is held",
        "        # which is held",
        f"{HELD}::test_a_stream_holds_no_more_of_its_input_than_it_must[stored-websocket]",
    ),
    Mutant(
        "input-held-for-no-store",
        "exchange/exchange.py",
        ' or self.store.kind == "off":\n            return keep_nothing',
        ":\n            return keep_nothing",
        f"{HELD}::test_a_stream_holds_no_more_of_its_input_than_it_must[no-store]",
    ),
    Mutant(
        "background-request-held-by-its-story",
        "exchange/background.py",
        "        story.accepted()\n",
        "",
        f"{HELD}::test_a_stream_holds_no_more_of_its_input_than_it_must[background]",
    ),
    Mutant(
        "background-request-held-by-what-answers-it",
        "exchange/background.py",
        "            del asked\n            await answering",
        "            await answering",
        f"{HELD}::test_a_stream_holds_no_more_of_its_input_than_it_must[background]",
    ),
    Mutant(
        "background-request-held-by-its-work",
        "exchange/background.py",
        "        del asked  # which is held",
        "        # which is held",
        f"{HELD}::test_a_stream_holds_no_more_of_its_input_than_it_must[background]",
    ),
    Mutant(
        "upstream-open-after-a-turn-that-could-not-be-made",
        "exchange/exchange.py",
        "                await accepted.chat.aclose()\n",
        "                pass\n",
        "tests/limits/test_limits_garbage.py::test_a_turn_that_fails_as_it_is_made_leaves_nothing_behind",
    ),
    Mutant(
        "conversation-locked-by-a-turn-that-could-not-be-made",
        "exchange/exchange.py",
        "            await release()\n            raise\n        if remembered",
        "            raise\n        if remembered",
        "tests/limits/test_limits_garbage.py::test_a_turn_that_fails_as_it_is_made_leaves_nothing_behind",
    ),
    Mutant(
        "memory-given-back-within-background-work",
        "cli/server.py",
        " or services.background.busy\n        if self._quiet",
        "\n        if self._quiet",
        "tests/cli/test_cli_quiet.py::test_the_server_gives_back_after_answers_not_within_one",
    ),
    Mutant(
        "server-ended-by-what-cannot-be-imported",
        "cli/quiet.py",
        "suppress(AttributeError, ImportError, OSError)",
        "suppress(AttributeError)",
        "tests/cli/test_cli_quiet.py::test_where_nothing_can_be_given_back_nothing_is",
    ),
    Mutant(
        "memory-given-back-within-an-answer",
        "cli/quiet.py",
        "        if busy or asked != self._asked:",
        "        if asked != self._asked:",
        "tests/cli/test_cli_quiet.py::test_a_long_answer_is_no_quiet_time",
    ),
    Mutant(
        "memory-given-back-over-and-over",
        "cli/quiet.py",
        "            self._since = math.inf\n            return",
        "            return",
        "tests/cli/test_cli_quiet.py::test_a_quiet_time_begins_once_after_the_last_request",
    ),
    Mutant(
        "requests-not-counted",
        "http/slots.py",
        "        self._total += 1\n",
        "",
        "tests/limits/test_limits_slots.py::test_slots_in_use",
    ),
    # -- what is recalled
    Mutant(
        "item-of-no-type-that-has-one",
        "exchange/recall.py",
        "        if kind is None:\n            kind =",
        "        if not kind:\n            kind =",
        "tests/exchange/test_recall.py::test_an_item_that_was_accepted_is_read_from_the_store_as_what_it_was",
    ),
    Mutant(
        "reference-passed-over-for-what-stands-beside-it",
        "exchange/recall.py",
        'return kind == "item_reference" or (kind is None and not',
        'return kind in ("item_reference", None) and (not',
        "tests/exchange/test_recall.py::test_a_reference_by_its_type_is_one_whatever_else_it_says",
    ),
    # -- errors
    Mutant(
        "error-as-long-as-what-it-quotes",
        "errors.py",
        "self.message = _shortened(self.message, LONGEST_MESSAGE)",
        "",
        "tests/http/test_http_routes.py::test_an_error_is_short_whatever_it_quotes",
    ),
    Mutant(
        "wait-of-any-length-told",
        "upstream/faults.py",
        "math.ceil(min(after, LONGEST_TOLD))",
        "math.ceil(after)",
        "tests/upstream/test_upstream_faults.py::test_a_client_is_told_to_wait_for_a_day_at_most",
    ),
    # -- keys
    Mutant(
        "key-blotted-out-as-it-was-pasted",
        "upstream/keys.py",
        "    key = clean_key(key)\n",
        "",
        "tests/upstream/test_upstream_keys.py::test_an_echoed_key_is_blotted_out_however_it_was_pasted",
    ),
    # -- seals and owners
    Mutant(
        "seal-of-any-owner",
        "seal.py",
        'return Sealer(self, f"{purpose}\\0{owner}".encode())',
        "return Sealer(self, purpose.encode())",
        f"{SEAL}::test_a_seal_opens_for_no_other_owner",
    ),
    Mutant(
        "seal-for-any-purpose",
        "seal.py",
        'return Sealer(self, f"{purpose}\\0{owner}".encode())',
        "return Sealer(self, owner.encode())",
        f"{SEAL}::test_a_seal_opens_for_no_other_owner",
    ),
    Mutant(
        "seal-version-unauthenticated",
        "seal.py",
        "if raw.startswith(VERSION) else None",
        "if raw else None",
        f"{SEAL}::test_a_seal_of_another_version_is_not_tried",
    ),
    Mutant(
        "seal-with-the-last-key",
        "seal.py",
        "key = self.keys.all[0]",
        "key = self.keys.all[-1]",
        f"{SEAL}::test_the_order_of_keys_decides_what_seals",
    ),
    Mutant(
        "seal-of-another-spelling",
        "seal.py",
        'return raw if base64.urlsafe_b64encode(raw) == letters else b""',
        "return raw",
        f"{SEAL}::test_another_spelling_of_a_seal_does_not_open",
    ),
    Mutant(
        "seal-decompressed-whole",
        "seal.py",
        "inflater.decompress(packed, most + 1)",
        "inflater.decompress(packed, 0)",
        f"{SEAL}::test_a_seal_that_swells_is_not_decompressed_any_further",
    ),
    Mutant(
        "seal-read-however-huge",
        "seal.py",
        " or len(sealed) > LARGEST_SEAL",
        "",
        f"{SEAL}::test_a_huge_seal_is_not_even_read",
    ),
    Mutant(
        "seal-of-another-form-raises",
        "seal.py",
        "except (ValueError, zlib.error):",
        "except ValueError:",
        f"{SEAL}::test_what_our_key_sealed_in_another_form_does_not_open",
    ),
    Mutant(
        "seal-of-half-a-text",
        "seal.py",
        "whole = inflater.eof and not inflater.unused_data",
        "whole = True",
        f"{SEAL}::test_what_our_key_sealed_in_another_form_does_not_open",
    ),
    Mutant(
        "seals-of-a-request-without-end",
        "seal.py",
        "self.left -= len(text)",
        "",
        f"{SEAL}::test_the_seals_of_one_request_open_until_they_hold_too_much_together",
    ),
    Mutant(
        "seal-decompressed-beyond-what-is-left",
        "seal.py",
        "most = min(LARGEST_TEXT, self.left)",
        "most = LARGEST_TEXT",
        f"{SEAL}::test_a_seal_that_holds_more_than_is_left_is_not_decompressed_any_further",
    ),
    Mutant(
        "seals-of-a-request-each-for-itself",
        "exchange/exchange.py",
        "Opener(self._sealer(asked.caller)).unseal",
        "self._sealer(asked.caller).unseal",
        "tests/stateful/test_rotation.py::test_the_seals_of_one_request_open_until_they_hold_too_much_together",
    ),
    Mutant(
        "secrets-of-a-worker-read-anew",
        "seal_keys.py",
        'update={"seal_key": first, "seal_keys_accepted": tuple(further)}',
        "update={}",
        "tests/cli/test_cli_workers.py::test_workers_keep_the_secrets_of_their_start",
    ),
    Mutant(
        "fault-keeps-its-answer",
        "core/assembler.py",
        "self.fault = copy(fault)",
        "self.fault = fault",
        f"{GARBAGE}[cut-streamed]",
    ),
    Mutant(
        "fault-raised-keeps-its-answer",
        "exchange/turn.py",
        "raise copy(self.fault)",
        "raise self.fault",
        f"{GARBAGE}[cut-plain]",
    ),
    Mutant(
        "open-item-keeps-its-answer",
        "core/assembler.py",
        "        self._open = None\n        self._line.clear()\n",
        "        self._line.clear()\n",
        f"{GARBAGE}[cut-streamed]",
    ),
    Mutant(
        "refusal-keeps-its-request",
        "upstream/client.py",
        "raise copy(await self._explain(failure.fault, call))",
        "raise (await self._explain(failure.fault, call))",
        f"{GARBAGE}[refused-plain]",
    ),
    Mutant(
        "head-that-never-came-keeps-its-request",
        "upstream/http1.py",
        "            del answer  # it keeps what is raised: no cycle is left to the garbage collector\n",
        "",
        f"{GARBAGE}[reset-plain]",
    ),
    Mutant(
        "broken-body-keeps-its-answer",
        "upstream/http1.py",
        "raise _anew(self._trouble)",
        "raise self._trouble",
        f"{GARBAGE}[cut-streamed]",
    ),
    Mutant(
        "key-in-the-name-of-a-redirect",
        "upstream/client.py",
        "                scrub(astray, call.key)\n",
        "",
        "tests/faults/test_faults_upstream.py::test_a_fault_ends_as_the_table_says[a-redirect-to-a-host-that-is-named-like-the-key-plain]",
    ),
    Mutant(
        "limits-on-requests-mixed-up",
        "http/bodies.py",
        "name_characters=limits.max_tool_name_characters",
        "name_characters=limits.max_schema_bytes",
        f"{LIMITS_TABLE}::test_a_body_at_its_limit_is_served_and_one_beyond_is_answered_as_the_table_says[max_tool_name_characters]",
    ),
    Mutant(
        "websocket-remembers-without-end",
        "http/websocket.py",
        "LocalTurns(settings.websocket_turns, settings.websocket_memory_bytes)",
        "LocalTurns(settings.websocket_turns, 1 << 60)",
        f"{LIMITS_TABLE}::test_what_a_websocket_remembers_is_bounded_in_bytes",
    ),
    Mutant(
        "head-that-drips-has-time-for-ever",
        "http/heads.py",
        "        elif self._waiting is None and self.idle:\n",
        "        elif self.idle:\n            self._stop_waiting()\n",
        "tests/limits/test_limits_connections.py::test_who_goes_on_dripping_gets_no_more_time_by_it",
    ),
    Mutant(
        "client-that-is-gone-found-late",
        "http/halfclose.py",
        "PROBE_SECONDS = 0.2",
        "PROBE_SECONDS = 2",
        f"{CLIENT_FAULTS}::test_the_upstream_is_left_within_a_second[closed]",
    ),
    Mutant(
        "interim-answer-has-a-body",
        "upstream/http1.py",
        "        elif self._parts:\n",
        "        elif self._complete:\n",
        f"{WIRE}::test_an_interim_answer_has_no_body",
    ),
    Mutant(
        "half-an-interim-answer-has-a-body",
        "upstream/http1.py",
        "        elif not self.head.done():  # an interim",
        "        elif self.over:  # an interim",
        f"{WIRE}::test_an_interim_answer_has_no_body",
    ),
    Mutant(
        "cancelled-job-forgets-what-was-said",
        "exchange/turn.py",
        "        if self.told_at_once:  # else what was said may still be stored\n",
        "        if True:\n",
        "tests/stateful/test_background.py::test_cancelling_stops_the_upstream_and_keeps_what_was_said[memory]",
    ),
    Mutant(
        "secrets-of-a-device-without-end",
        "seal_keys.py",
        "content = file.read(LARGEST_FILE + 1)",
        "content = file.read()",
        f"{SEAL_KEYS}::test_a_device_without_end_is_read_no_further_than_a_file_may_be_large[/dev/zero]",
    ),
    Mutant(
        "secrets-rotated-over-a-device",
        "seal_keys.py",
        "    if path.exists() and not path.is_file():",
        "    if False:",
        f"{SEAL_KEYS}::test_rotating_takes_the_place_of_no_device[/dev/null]",
    ),
    Mutant(
        "secrets-read-twice",
        "cli/server.py",
        "        return with_its_secrets(settings)\n",
        "        with_its_secrets(settings)\n        return settings\n",
        "tests/cli/test_cli_network.py::test_seal_keys_may_come_through_a_pipe[one-process]",
    ),
    Mutant(
        "secrets-that-others-can-read",
        "settings.py",
        "_OTHERS = 0o066",
        "_OTHERS = 0o006",
        "tests/cli/test_cli_commands.py::TestServe::test_a_file_of_secrets_that_others_can_read_is_one_warning",
    ),
    Mutant(
        "prompt-version-cut",
        "exchange/prompts.py",
        "int(digits or 0)",
        "int(digits[:9] or 0)",
        "tests/stateful/test_prompts.py::test_a_version_that_is_not_there_is_no_other_one[file]",
    ),
    Mutant(
        "starting-after-cut-from-the-front",
        "http/background.py",
        'given.lstrip("0")[:18] or 0',
        "given[:18]",
        "tests/stateful/test_background.py::test_a_replay_from_any_event_is_the_rest_of_the_original",
    ),
    Mutant(
        "secret-of-any-bytes-breaks-the-start",
        "seal_keys.py",
        '.encode(errors="surrogateescape")',
        ".encode()",
        f"{SEAL_KEYS}::test_a_secret_in_the_environment_may_hold_any_bytes",
    ),
    Mutant(
        "job-of-a-revoked-token-spends",
        "exchange/background.py",
        'if self._tokens and caller.identity.encode("latin-1") not in self._tokens:',
        "if False:",
        f"{TAKEOVER}::test_a_job_of_a_client_that_is_not_let_in_any_more_is_not_begun",
    ),
    Mutant(
        "job-key-opens-in-any-job",
        "exchange/background.py",
        'sealer("job", f"{owner} {response_id}")',
        'sealer("job", owner)',
        "tests/stateful/test_background_takeover.py::test_the_key_of_a_job_opens_in_no_other_job_and_for_no_client",
    ),
    Mutant(
        "owners-change-with-the-key",
        "exchange/owners.py",
        "            self._key = list(known.values())[-1]\n",
        "            pass\n",
        OWNERS,
    ),
    Mutant(
        "owner-key-noted-for-one-key",
        "exchange/owners.py",
        "for key in self._keys.all if known.get(key) != self._key]",
        "for key in self._keys.all[1:] if known.get(key) != self._key]",
        OWNERS,
    ),
    Mutant(
        "owner-key-of-the-slower-one",
        "exchange/owners.py",
        "            known = await self._known(store)  # another process was faster\n",
        "",
        f"{OWNERS}::test_processes_that_start_at_once_on_a_new_store_agree",
    ),
    Mutant(
        "owner-keys-mixed",
        "store/owner_keys.py",
        "                    connection.rollback()\n",
        "",
        "tests/store/test_store_owner_keys.py::test_notes_are_added_all_or_none[memory]",
    ),
    Mutant(
        "owner-key-in-clear",
        "exchange/owners.py",
        "return _sealer(key).seal(self._key.hex()).encode()",
        "return self._key.hex().encode()",
        OWNERS,
    ),
    Mutant(
        "named-key-file-made-up",
        "seal_keys.py",
        "        if settings.seal_key_file is not None:\n            raise\n",
        "",
        f"{SEAL_KEYS}::test_a_file_that_the_settings_name_is_not_made",
    ),
    # -- who may ask
    Mutant(
        "host-unchecked",
        "http/pages.py",
        'if self.hosts is not None and b"host" in sent and',
        'if self.hosts is not None and b"host" not in sent and',
        f"{PAGES}::test_a_host_is_served_or_not",
    ),
    Mutant(
        "suffix-within-a-label",
        "http/pages.py",
        "host.removeprefix(ANY)",
        'host.removeprefix("*.")',
        f"{PAGES}::test_a_host_is_served_or_not",
    ),
    Mutant(
        "two-hosts-are-the-last",
        "http/pages.py",
        'sent[name] + b"," + value if name in sent else value',
        "value",
        f"{PAGES}::test_two_hosts_are_none",
    ),
    Mutant(
        "origin-unchecked",
        "http/pages.py",
        'raise _origin_not_allowed("Origin", _text(origin))',
        "return",
        f"{PAGES}::test_an_origin_may_ask_or_not_over_http_and_websocket_alike",
    ),
    Mutant(
        "another-port-is-own",
        "http/pages.py",
        'OWN_SITES = frozenset({b"none", b"same-origin"})',
        'OWN_SITES = frozenset({b"none", b"same-origin", b"same-site"})',
        f"{PAGES}::test_a_page_s_request_without_an_origin_is_known_by_sec_fetch_site",
    ),
    Mutant(
        "preflight-for-everyone",
        "http/pages.py",
        'if not self.shares or scope["type"] != "http"',
        'if scope["type"] != "http"',
        f"{PAGES}::test_without_allowed_origins_no_answer_is_shared",
    ),
    Mutant(
        "not-shared-with-pages",
        "http/edge.py",
        "            send = self._pages.admit(scope, send)\n",
        "            self._pages.admit(scope, send)\n",
        f"{PAGES}::test_answers_streams_and_errors_are_shared_with_the_page",
    ),
    Mutant(
        "times-may-be-infinite",
        "settings.py",
        "allow_inf_nan=False,",
        "allow_inf_nan=True,",
        f"{COMMANDS}::test_no_time_is_infinite_or_no_number",
    ),
    Mutant(
        "fix-names-an-option-that-is-none",
        "cli/options.py",
        "    if name in assigned:\n",
        "    if name in ():\n",
        f"{COMMANDS}::test_the_fix_names_what_can_be_written",
    ),
    Mutant(
        "errors-not-shared",
        "http/edge.py",
        "            send = self._pages.admit(scope, send)\n            if self._leaving.begun:\n"
        "                send = closing(send)\n"
        '                self._leaving.refuse(scope["path"])\n'
        "            await self._dispatch(scope, receive, send)\n",
        "            await self._dispatch(scope, receive, self._pages.admit(scope, send))\n",
        f"{PAGES}::test_answers_streams_and_errors_are_shared_with_the_page",
    ),
    Mutant(
        "content-type-unchecked",
        "http/bodies.py",
        "    _check_type(headers)\n",
        "",
        "tests/http/test_http_bodies.py::test_a_body_of_another_type_is_415_that_says_what_to_send",
    ),
    Mutant(
        "bodies-without-a-type",
        "http/bodies.py",
        "    if said is None or not _JSON_TYPE",
        "    if said is not None and not _JSON_TYPE",
        "tests/http/test_http_bodies.py::test_a_body_of_another_type_is_415_that_says_what_to_send",
    ),
    Mutant(
        "open-to-the-network",
        "cli/server.py",
        "if authenticates(settings) or settings.allow_anonymous:",
        "if settings.upstream_key or authenticates(settings) or settings.allow_anonymous:",
        f"{NETWORK}::test_beyond_loopback_clients_must_show_who_they_are",
    ),
    Mutant(
        "exposure-by-name",
        "cli/server.py",
        "is_loopback(listening.getsockname()[0])",
        "is_loopback(settings.host)",
        f"{NETWORK}::test_a_name_of_loopback_does_not_count_the_address_does",
    ),
    # -- limits
    Mutant(
        "nested-tools-uncounted",
        "core/bounds.py",
        '        if "tools" in tool:\n            self.add_tools(tool["tools"], f"{path}[{index}].tools")\n',
        "",
        f"{REQUEST_LIMITS}::test_tools_are_counted_wherever_they_stand",
    ),
    Mutant(
        "images-in-outputs-uncounted",
        "core/bounds.py",
        'CONTENT_FIELDS = ("content", "output")',
        'CONTENT_FIELDS = ("content",)',
        f"{REQUEST_LIMITS}::test_images_are_bounded",
    ),
    Mutant(
        "schema-one-too-large",
        "core/bounds.py",
        "if size > self.bounds.schema_bytes:",
        "if size > self.bounds.schema_bytes + 1:",
        f"{REQUEST_LIMITS}::test_schemas_are_bounded",
    ),
    Mutant(
        "depth-one-too-deep",
        "http/bodies.py",
        "else max(0, PARSER_DEPTH - depth)",
        "else max(0, PARSER_DEPTH - depth - 1)",
        f"{REQUEST_LIMITS}::test_the_bound_on_nesting_is_exact_whatever_it_is",
    ),
    Mutant(
        "depth-looked-at-one-too-late",
        "http/bodies.py",
        'body.count(b"{") <= depth',
        'body.count(b"{") <= depth + 1',
        f"{REQUEST_LIMITS}::test_the_bound_on_nesting_is_exact_whatever_it_is",
    ),
    Mutant(
        "infinity-beside-text",
        "http/bodies.py",
        "frozenset({str, bool, int, type(None)})",
        "frozenset({str, bool, int, type(None), float})",
        "tests/http/test_http_bodies.py",
    ),
    Mutant(
        "no-token-is-one",
        "http/guards.py",
        "        if not presented:\n",
        "        if presented is None:\n",
        "tests/http/test_http_guards.py",
    ),
    Mutant(
        "texts-shared-by-responses",
        "core/echo.py",
        '_UNSAID["text"]["format"].copy()',
        '_UNSAID["text"]["format"]',
        "tests/request/test_request_echo.py",
    ),
    Mutant(
        "last-of-repeated-headers",
        "http/edge.py",
        'dict(reversed(scope["headers"]))',
        'dict(scope["headers"])',
        "tests/http/test_http_guards.py::test_of_repeated_headers_the_first_counts",
    ),
    Mutant(
        "stood-in-for-for-ever",
        "cli/process.py",
        "            del sys.modules[self.__name__]\n",
        "            pass\n",
        "tests/cli/test_cli_start.py",
    ),
    Mutant(
        "pages-of-tracebacks-loaded",
        "cli/process.py",
        '"html",)',
        ")",
        "tests/cli/test_cli_start.py",
    ),
    Mutant(
        "body-reaches-into-its-bound",
        "http/bodies.py",
        "            (value,) = value\n",
        "            value = value[0]\n",
        f"{REQUEST_LIMITS}::test_what_is_no_json_is_none_however_the_nesting_is_bounded",
    ),
    Mutant(
        "slot-of-a-failure-kept",
        "http/slots.py",
        "        self._slots.free(self._client)\n",
        "        if error is None:\n            self._slots.free(self._client)\n",
        f"{SLOTS}::test_a_slot_comes_back_however_and_whenever_an_answer_ends",
    ),
    Mutant(
        "one-client-takes-all",
        "http/slots.py",
        "if held >= self._most_of_one:",
        "if held > self._most:",
        f"{SLOTS}::test_those_of_one_client_are_bounded_and_others_go_on",
    ),
    Mutant(
        "health-refused",
        "http/routes.py",
        'serving("/readyz", counted=False, ',
        'serving("/readyz", ',
        f"{SLOTS}::test_requests_in_all_are_bounded_and_health_is_never_refused",
    ),
    Mutant(
        "websocket-turns-unbounded",
        "http/websocket.py",
        "        with self._terms.slots.taken(self._terms.client):\n            turn",
        "        if True:\n            turn",
        f"{SLOTS}::test_turns_on_a_websocket_are_requests_and_waiting_there_is_not",
    ),
    Mutant(
        "later-bodies-forgotten",
        "http/deadlines.py",
        "                self._timer = loop.call_at(first.due, self._check)\n                return\n",
        "                return\n",
        f"{DEADLINES}::test_later_ones_have_their_whole_time",
    ),
    Mutant(
        "cancellation-taken-for-lateness",
        "http/deadlines.py",
        "            and self._task.uncancel() <= self._cancelled_before\n",
        "",
        f"{DEADLINES}::test_a_cancellation_from_elsewhere_stays_one",
    ),
    Mutant(
        "head-without-end",
        "http/heads.py",
        "if self._bare_bytes > self._most_bare_bytes:",
        "if self._bare_bytes > self._most_bare_bytes and self.cycle is not None:",
        f"{CONNECTIONS}::test_a_head_without_end_is_cut",
    ),
    Mutant(
        "body-taken-for-a-head",
        "http/heads.py",
        '        """More of a body."""\n        self._bare_bytes = 0\n',
        '        """More of a body."""\n',
        f"{CONNECTIONS}::test_a_large_body_is_no_head",
    ),
    Mutant(
        "silence-for-ever",
        "http/heads.py",
        "        else:\n            self._await_head()\n",
        "",
        f"{CONNECTIONS}::test_a_head_that_does_not_come_ends_its_connection",
    ),
    Mutant(
        "websocket-waits-for-a-head",
        "http/heads.py",
        "if self._handed_over or self.lingers or self.transport.is_closing():",
        "if self.lingers or self.transport.is_closing():",
        f"{CONNECTIONS}::test_time_for_a_head_is_no_time_for_an_answer",
    ),
    Mutant(
        "references-not-weighed",
        "store/responses.py",
        "size * named[one]",
        "size",
        f"{WEIGHED}[memory-References]",
    ),
    Mutant(
        "chains-not-weighed",
        "store/histories.py",
        "else_=exactly.scalar_subquery() > _MOST",
        "else_=false()",
        f"{WEIGHED}[memory-Chain]",
    ),
    Mutant(
        "histories-weighed-by-their-rows",
        "store/histories.py",
        "else_=exactly.scalar_subquery() > _MOST",
        "else_=true()",
        f"{WEIGHED}[memory-Conversation]",
    ),
    Mutant(
        "heavy-chains-read",
        "store/histories.py",
        "and_(items.c.response_key == link.c.key, not_(weighed.c.heavy))",
        "items.c.response_key == link.c.key",
        f"{HISTORIES}::test_what_is_too_heavy_is_never_in_memory[memory-chain]",
    ),
    Mutant(
        "heavy-conversations-read",
        "store/histories.py",
        "light = (*_within(weighed), not_(weighed.c.heavy))",
        "light = _within(weighed)",
        f"{HISTORIES}::test_what_is_too_heavy_is_never_in_memory[memory-conversation]",
    ),
    Mutant(
        "heavy-references-read",
        "store/responses.py",
        "        sizes = await self._looked_up(owner, keys, ITEM_SIZES)\n",
        "        sizes = {one: len(body) for one, body in (await self._looked_up(owner, keys, ITEM_BODIES)).items()}\n",
        f"{HISTORIES}::test_what_is_too_heavy_is_never_in_memory[memory-references]",
    ),
    Mutant(
        "all-looked-up-after-an-absent-one",
        "store/responses.py",
        "            if absent:\n                break\n",
        "",
        "tests/store/test_store.py",
    ),
    Mutant(
        "branches-weigh-half",
        "exchange/recall.py",
        "left = self._most_bytes - weight",
        "left = self._most_bytes",
        f"{REFERRED}::test_a_branch_weighs_with_what_its_conversation_held_before_it",
    ),
    Mutant(
        "pages-end-with-stored-keys",
        "http/lists.py",
        'last_id=data[-1]["id"] if data else None',
        "last_id=items[-1].id if items else None",
        "tests/stateful/test_conversations.py::test_a_page_begins_and_ends_with_the_ids_of_its_items[memory-long]",
    ),
    Mutant(
        "another-owners-turn-in-a-conversation",
        "store/histories.py",
        '.where(responses.c.owner == bindparam("of"), responses.c.id == bindparam("turn"))',
        '.where(responses.c.id == bindparam("turn"))',
        f"{HISTORIES}::test_a_turn_that_shares_nothing_with_a_conversation_has_no_place_in_it[memory]",
    ),
    Mutant(
        "unread-for-ever",
        "http/unread.py",
        "            self._transport.abort()",
        "            self._transport.close()",
        f"{UNREAD}::test_a_client_that_does_not_read_is_cut_off",
    ),
    Mutant(
        "slow-reader-cut-off",
        "http/unread.py",
        ">= self._left:",
        ">= 0:",
        f"{UNREAD}::test_a_client_that_reads_little_may",
    ),
    Mutant(
        "closing-for-ever",
        "http/unread.py",
        "set_write_buffer_limits(high=1)",
        "set_write_buffer_limits(high=None)",
        f"{UNREAD}::test_a_connection_that_is_closing_is_not_held_open",
    ),
    Mutant(
        "trailer-taken-for-a-header",
        "http/heads.py",
        "        if not self._in_head:\n            return\n",
        "",
        f"{LINE}::test_a_trailer_is_no_header",
    ),
    Mutant(
        "requests-in-line-without-end",
        "http/heads.py",
        "if len(self.pipeline) >= MOST_IN_LINE:",
        "if len(self.pipeline) > MOST_IN_LINE:",
        f"{LINE}::test_requests_in_line_are_bounded",
    ),
    Mutant(
        "websocket-within-an-answer",
        "http/heads.py",
        "if not self.idle or self.flow.write_paused:",
        "if self.flow.write_paused:",
        f"{LINE}::test_nothing_is_written_into_an_answer_under_way",
    ),
    Mutant(
        "refusal-within-an-answer",
        "http/heads.py",
        "        if self.idle or self._interrupted():\n",
        "        if not self._handed_over:\n",
        f"{LINE}::test_nothing_is_written_into_an_answer_under_way",
    ),
    Mutant(
        "pongs-without-end",
        "http/draining.py",
        "        if self.writable.is_set():\n            super().handle_ping()",
        "        if not self.disconnected:\n            super().handle_ping()",
        f"{FRAMES}::test_pings_of_a_client_that_does_not_read_are_not_kept",
    ),
    Mutant(
        "pong-forgotten",
        "http/draining.py",
        '            pongs, self._pongs = self._pongs, b""\n            self.transport.write(pongs)',
        '            self._pongs = b""',
        f"{FRAMES}::test_the_newest_pings_are_answered_once_the_client_reads",
    ),
    Mutant(
        "fragments-without-end",
        "http/draining.py",
        "if len(self.frames) >= MOST_FRAGMENTS:",
        "if len(self.frames) > 2 * MOST_FRAGMENTS:",
        f"{FRAMES}::test_a_message_in_very_many_fragments_is_held_in_few",
    ),
    Mutant(
        "values-not-counted",
        "http/bodies.py",
        "    _check_values(body, bounds.values)\n",
        "",
        f"{REQUEST_LIMITS}::test_too_many_values_are_not_parsed",
    ),
    Mutant(
        "values-one-too-many",
        "http/bodies.py",
        "sum(map(body.count, _VALUE_MARKS)) > most:",
        "sum(map(body.count, _VALUE_MARKS)) > most + 1:",
        f"{REQUEST_LIMITS}::test_values_are_bounded",
    ),
    Mutant(
        "handshake-unanswered",
        "http/draining.py",
        "if wrong is not None and not self.handshake_initiated:",
        "if wrong is not None and self.handshake_initiated:",
        f"{CONNECTIONS}::test_a_handshake_that_cannot_be_read_is_answered",
    ),
    Mutant(
        "held-arguments-uncounted",
        "core/deltas.py",
        "        self._spend(said.arguments)\n",
        "",
        f"{ANSWERS}::test_arguments_count_whether_or_not_they_are_told",
    ),
    Mutant(
        "calls-released-beyond-the-bound",
        "core/assembler.py",
        "        self._check_room(len(waiting))  # before the first of them is released\n",
        "",
        f"{ANSWERS}::test_the_items_of_an_answer_are_bounded_and_no_call_is_released_beyond",
    ),
    Mutant(
        "endless-and-never-late",
        "upstream/decoding.py",
        "        if left <= 0:  # an upstream",
        "        if left is None:  # an upstream",
        f"{ANSWERS}::test_time_runs_out_whether_or_not_the_upstream_makes_anyone_wait",
    ),
    Mutant(
        "endless-and-never-late-on-a-socket",
        "upstream/http1.py",
        '        if now >= self._until:\n            raise Overdue("it takes too long")\n        if self._parts',
        "        if self._parts",
        f"{WIRE}::test_the_time_of_an_answer_ends_though_nobody_has_to_wait",
    ),
    Mutant(
        "waiting-beyond-the-whole-time",
        "upstream/http1.py",
        "self._loop.call_at(min(self._asked + self._silence, self._until), self._check)",
        "self._loop.call_at(self._asked + self._silence, self._check)",
        f"{WIRE}::test_the_time_of_an_answer_ends_while_someone_waits",
    ),
    Mutant(
        "hurry-that-wakes-nobody",
        "upstream/http1.py",
        "        if self._is_awaited():\n            self._watch_on()\n",
        "",
        f"{WIRE}::test_who_waits_already_is_hurried_too",
    ),
    Mutant(
        "head-awaited-for-ever",
        "upstream/http1.py",
        "None if until == math.inf else loop.call_at(until, self._check)",
        "None",
        "tests/upstream/test_upstream_client.py::test_no_first_byte_in_time_is_a_504_and_not_repeated",
    ),
    Mutant(
        "time-for-the-head-is-for-the-body",
        "upstream/http1.py",
        "            self._unwatch()\n            self._until",
        "            self._until",
        "tests/upstream/test_upstream_client.py::test_silence_within_the_answer_is_a_504",
    ),
    Mutant(
        "time-for-the-head-is-for-what-is-compressed",
        "upstream/http1.py",
        "            self._until = math.inf\n",
        "",
        f"{WIRE}::test_the_time_for_the_head_is_none_of_the_body",
    ),
    Mutant(
        "reader-behind-is-not-held-back",
        "upstream/http1.py",
        "            self._waiting_bytes += size\n",
        "",
        f"{WIRE}::test_a_reader_that_stops_holds_the_upstream_back",
    ),
    Mutant(
        "held-back-for-ever",
        "upstream/http1.py",
        "        if self._waiting_bytes:\n            self._go_on()\n",
        "",
        f"{WIRE}::test_a_reader_that_stops_holds_the_upstream_back",
    ),
    Mutant(
        "no-bounds-between-parts",
        "upstream/http1.py",
        "            self._counted_parts = len(self._parts)\n",
        "",
        f"{WIRE}::test_what_stands_between_the_parts_of_a_body_is_bounded",
    ),
    Mutant(
        "line-breaks-in-headers",
        "upstream/transport.py",
        'if not (head.count("\\n") == head.count("\\r") == len(lines) - 1)',
        'if not (head.count("\\n") == head.count("\\r"))',
        "tests/upstream/test_upstream_client.py::test_an_accept_that_would_end_its_line_is_not_sent",
    ),
    Mutant(
        "headers-of-one-name-lost",
        "upstream/transport.py",
        'fields if len(fields) == len(headers) else _joined(headers, "utf-8")',
        "fields",
        f"{WIRE}::test_headers_are_those_that_httpx_reads",
    ),
    Mutant(
        "kept-connection-takes-no-turn",
        "upstream/pool.py",
        "            self._turns -= 1\n            self._taken.add(connection)\n        return",
        "            self._taken.add(connection)\n        return",
        f"{WIRE}::test_who_has_a_kept_connection_has_a_turn",
    ),
    Mutant(
        "asked-again-unheard",
        "upstream/http1.py",
        "        return bool(self._arrivals())\n",
        "        return False\n",
        f"{WIRE}::test_a_connection_on_which_something_waits_unread_is_not_used_again",
    ),
    Mutant(
        "bearer-is-a-key",
        "upstream/keys.py",
        "(?!bearer\\Z)",
        "",
        "tests/upstream/test_upstream_keys.py::test_no_key_sends_no_header",
    ),
    Mutant(
        "fault-after-the-finish",
        "upstream/stream.py",
        " or self._hurried < math.inf",
        "",
        "tests/upstream/test_upstream_client.py",
    ),
    Mutant(
        "body-without-end",
        "upstream/http1.py",
        "        self._left_bytes -= len(data)\n        if self._left_bytes",
        "        if self._left_bytes",
        f"{ANSWERS}::test_an_answer_that_is_passed_through_is_bounded_too",
    ),
    Mutant(
        "decompressed-body-without-end",
        "upstream/decoding.py",
        "        self._left_bytes -= len(data)\n",
        "",
        f"{ANSWERS}::test_the_bytes_of_what_the_upstream_sends_are_counted",
    ),
    # -- the process and what it stands on
    Mutant(
        "new-requests-while-draining",
        "http/edge.py",
        '                self._leaving.refuse(scope["path"])\n',
        "",
        f"{STOPPING}::test_what_runs_ends_whole_and_what_is_new_is_refused",
    ),
    Mutant(
        "ready-while-draining",
        "http/health.py",
        "        if self._leaving.begun:\n",
        "        if self._leaving.over:\n",
        f"{STOPPING}::test_what_runs_ends_whole_and_what_is_new_is_refused",
    ),
    Mutant(
        "stream-cut-without-a-word",
        "http/stream.py",
        "            if self._lost or not self._leaving.takes_over():",
        "            if self._leaving.over or not self._leaving.takes_over():",
        f"{STOPPING}::test_at_the_limit_each_is_told_once_that_it_failed",
    ),
    Mutant(
        "lane-cut-without-a-word",
        "http/websocket.py",
        "if self._leaving.over and not (self._gone or self._lost):",
        "if self._leaving.begun and (self._gone or self._lost):",
        f"{STOPPING}::test_at_the_limit_every_lane_of_a_websocket_is_told_before_it_closes",
    ),
    Mutant(
        "deaf-client-holds-the-end-up",
        "http/websocket.py",
        "                async with asyncio.timeout(CLOSE_SECONDS):\n",
        "                async with asyncio.timeout(None):\n",
        "tests/stateful/test_websocket.py::test_a_client_that_never_reads_does_not_hold_the_end_up",
    ),
    Mutant(
        "second-signal-not-heard",
        "cli/server.py",
        "            self.force_exit = self.should_exit\n",
        "            self.force_exit = False\n",
        f"{STOPPING}::test_a_second_signal_ends_at_once",
    ),
    Mutant(
        "unstored-said-to-be-stored",
        "exchange/keeping.py",
        '            response["store"] = False\n            log.error(',
        "            log.error(",
        f"{STORE_FAULTS}::test_a_disk_that_takes_nothing_costs_no_answer_and_is_used_again",
    ),
    Mutant(
        "check-writes-nothing",
        "store/sqlite.py",
        "            raise StoreFault(GONE)\n        _write(connection)\n",
        "            raise StoreFault(GONE)\n",
        f"{STORE_FAULTS}::test_a_disk_that_takes_nothing_costs_no_answer_and_is_used_again",
    ),
    Mutant(
        "each-waits-for-the-lock",
        "store/sqlite.py",
        "            self._locked = self._locked or",
        "            self._locked = False and",
        f"{STORE_FAULTS}::test_a_lock_that_another_process_holds_costs_all_answers_together_one_wait",
    ),
    Mutant(
        "one-long-work-silences-the-store",
        "store/database.py",
        "if self._answered.get(door, 0.0) < began:",
        "if True:",
        "tests/store/test_store_silence.py::test_one_work_that_takes_long_makes_no_other_wait_or_fail",
    ),
    Mutant(
        "each-waits-for-a-silent-store",
        "store/database.py",
        "                self._silent_until = loop.time() + SILENT_SECONDS\n",
        "",
        "tests/store/test_store_silence.py",
    ),
    Mutant(
        "given-up-and-written-all-the-same",
        "store/database.py",
        "            wanted.given_up = True\n",
        "",
        "tests/store/test_store_silence.py::test_a_write_that_was_given_up_is_not_carried_out_later",
    ),
    Mutant(
        "job-of-a-client-that-was-refused",
        "exchange/background.py",
        "                await self._store.responses.delete(record.owner, record.id)\n",
        "",
        f"{TAKEOVER}::test_a_job_whose_client_was_told_that_the_process_ends_is_never_run[memory]",
    ),
    Mutant(
        "doubtful-jobs-run",
        "exchange/background.py",
        "claim=replace(self._claim(), confirmed=False)",
        "claim=self._claim()",
        f"{TAKEOVER}::test_a_job_whose_client_was_told_that_the_store_is_away_is_never_run[memory-1-True]",
    ),
    Mutant(
        "unconfirmed-jobs-begun-by-others",
        "store/records.py",
        "UNCONFIRMED = 1_000_000",
        "UNCONFIRMED = 0",
        f"{TAKEOVER}::test_a_job_whose_process_died_before_it_could_let_it_be_run_ends_as_failed[memory-1]",
    ),
    Mutant(
        "stored-jobs-forgotten",
        "exchange/background.py",
        "            self._chore(self._confirm_later(job, asked, claimed=claimed))\n",
        "",
        f"{TAKEOVER}::test_a_job_that_is_stored_is_run_once_though_the_store_broke_then[memory-1-False]",
    ),
    Mutant(
        "place-of-a-deleted-job-lost",
        "exchange/background.py",
        "            if claimed:\n                self._places.give(asked.owner)\n            self._chore",
        "            self._chore",
        f"{TAKEOVER}::test_a_job_that_was_deleted_before_it_could_be_run_leaves_its_place[memory]",
    ),
    Mutant(
        "another-kind-of-client-after-a-takeover",
        "exchange/background.py",
        "opened = to_json(asdict(caller)).decode()",
        'opened = to_json({"key": caller.key, "identity": caller.identity}).decode()',
        f"{TAKEOVER}::test_whoever_takes_over_answers_the_client_as_its_own_kind[memory]",
    ),
    Mutant(
        "end-lost-with-the-store",
        "exchange/following.py",
        'await self._answered(partial(self._rest, page.status)) or b""',
        "await self._rest(page.status)",
        "tests/exchange/test_following.py::test_the_end_of_a_cut_stream_is_told_when_the_store_is_back",
    ),
    Mutant(
        "estimate-needs-the-store",
        "exchange/keeping.py",
        "            return 1.0\n",
        "            raise\n",
        "tests/exchange/test_exchange_turns.py::test_whether_to_compact_is_estimated_while_the_store_is_away",
    ),
    Mutant(
        "line-lost-to-another-process",
        "http/lines.py",
        "        except BlockingIOError:\n            return 0\n",
        "",
        "tests/http/test_http_lines.py::test_room_that_another_process_takes_first_is_not_waited_for",
    ),
    Mutant(
        "lines-of-any-length-wait",
        "http/lines.py",
        "self._waiting_bytes + len(data) > MOST_BYTES",
        "False",
        "tests/http/test_http_lines.py::test_lines_beyond_the_bytes_that_may_wait_are_lost_and_counted",
    ),
    Mutant(
        "background-lost-with-the-store",
        "exchange/background.py",
        "            events = []  # they wait in the story\n",
        "            return\n",
        f"{STORE_FAULTS}::test_a_background_response_whose_words_cannot_be_stored_for_a_while_ends_whole",
    ),
    Mutant(
        "jump-takes-jobs",
        "exchange/background.py",
        "            if self._steady.settled():\n",
        "            if self._steady:\n",
        CLOCK,
    ),
    Mutant(
        "jump-frees-locks",
        "exchange/locking.py",
        "self._steady.now())",
        "self._steady.source.now())",
        CLOCK,
    ),
    Mutant(
        "jump-deletes",
        "exchange/upkeep.py",
        "purge(store, steady.now())",
        "purge(store, source.now())",
        CLOCK,
    ),
    Mutant(
        "lease-from-the-future",
        "store/jobs.py",
        " + LONGEST_SECONDS",
        " + 10 * LONGEST_SECONDS * LONGEST_SECONDS",
        CLOCK,
    ),
    Mutant(
        "long-line-cut",
        "http/lines.py",
        "                self._waiting[0] = rest\n",
        "                self._waiting.popleft()\n",
        "tests/http/test_http_lines.py",
    ),
    Mutant(
        "idle-connections-cut-as-requests-come",
        "limits.py",
        '        100.0,\n        "Time that a connection stays open',
        '        5.0,\n        "Time that a connection stays open',
        f"{NETWORK}::test_the_server_keeps_idle_connections_longer_than_clients_do",
    ),
    Mutant(
        "bad-text-logged-with-a-traceback",
        "http/logs.py",
        '"Invalid UTF-8 sequence received from client."',
        '""',
        "tests/stateful/test_websocket.py::test_text_that_is_not_utf_8_closes_with_1007_and_without_a_traceback",
    ),
    Mutant(
        "cut-answers-logged-as-errors",
        "http/logs.py",
        "cut_off or record.msg in SAID_ELSEWHERE",
        "cut_off",
        "tests/http/test_http_routes.py::test_an_unfinished_answer_is_no_error_of_the_server",
    ),
    # -- what is stored
    Mutant(
        "events-sent-again-count-again",
        "store/events.py",
        "streams.c.last_number < bindparam",
        "streams.c.last_number > -2 - bindparam",
        f"{COUNTED}[memory]",
    ),
    Mutant(
        "overlapping-events-dropped-whole",
        "store/events.py",
        "            return self.add(connection, owner, response_id, rest)",
        '            return "kept"',
        f"{COUNTED}[memory]",
    ),
    Mutant(
        "events-beyond-the-bound-count",
        "store/events.py",
        "streams.c.size + _unless(cut, size)",
        "streams.c.size + size",
        f"{COUNTED}[memory]",
    ),
    Mutant(
        "a-first-batch-beyond-the-bound-counts",
        "store/events.py",
        "_unless(size > limit, size), size > limit",
        "size, size > limit",
        "tests/store/test_store.py::TestEvents::test_a_stream_that_is_too_large_at_once_counts_nothing[memory]",
    ),
    Mutant(
        "shares-of-those-who-need-none",
        "store/eviction.py",
        "        left -= size\n",
        "        left -= share\n",
        f"{EVICTION}::test_a_fair_share_is_the_largest_with_which_all_fit",
    ),
    Mutant(
        "streams-weigh-nothing",
        "store/eviction.py",
        "_SIZE = responses.c.size + func.coalesce(streams.c.size, 0)",
        "_SIZE = responses.c.size + func.coalesce(0 * streams.c.size, 0)",
        f"{EVICTION}::test_only_who_keeps_more_than_a_fair_share_gives_way_and_the_oldest_first[memory-0]",
    ),
    Mutant(
        "smallest-flood-first",
        "store/eviction.py",
        "key=lambda one: (-kept[one], one)",
        "key=lambda one: (kept[one], one)",
        f"{EVICTION}::test_who_keeps_most_gives_way_first[memory-2-2]",
    ),
    Mutant(
        "nothing-found-uses-up-a-purge",
        "store/eviction.py",
        "                budget.give_back()\n",
        "",
        f"{EVICTION}::test_what_is_under_way_goes_to_nobodys_cost_and_ends_the_purge[memory]",
    ),
    Mutant(
        "cut-to-nothing",
        "store/eviction.py",
        "self._cut(owner, kept[owner] - share, budget)",
        "self._cut(owner, kept[owner], budget)",
        f"{EVICTION}::test_who_keeps_most_gives_way_first[memory-4-2]",
    ),
    Mutant(
        "made-up-instruments-kept",
        "store/calibrations.py",
        'connection.execute(self._forget, {"added": instrument})',
        "pass",
        f"{CALIBRATIONS}::test_made_up_names_push_out_each_other_and_none_that_is_known[memory]",
    ),
    Mutant(
        "known-instruments-pushed-out",
        "store/calibrations.py",
        "calibrations.c.samples.desc()",
        "calibrations.c.samples",
        f"{CALIBRATIONS}::test_made_up_names_push_out_each_other_and_none_that_is_known[memory]",
    ),
    Mutant(
        "new-instruments-not-learned",
        "store/calibrations.py",
        "    .where(calibrations.c.instrument != _ADDED)\n",
        "    .where(_ADDED == _ADDED)\n",
        f"{CALIBRATIONS}::test_a_new_instrument_is_learned_though_others_are_known_better[memory]",
    ),
    Mutant(
        "new-file-not-waited-for",
        "store/sqlite.py",
        "sqlite3.SQLITE_BUSY or not left:",
        "sqlite3.SQLITE_BUSY or left:",
        "tests/store/test_store_opening.py::TestNewFile",
    ),
    Mutant(
        "new-schema-without-its-version",
        "store/schema.py",
        '    connection.execute(insert(_VERSIONS), {"version_num": HEAD})\n',
        "",
        "tests/store/test_store_opening.py::TestSchema::test_a_new_database_is_what_the_steps_would_make_of_it[sqlite]",
    ),
    Mutant(
        "jobs-oldest-first-whoever-asked",
        "store/jobs.py",
        ".order_by(turns.c.turn, jobs.c.response_key)",
        ".order_by(jobs.c.response_key)",
        "tests/store/test_store.py::TestJobs::test_owners_take_turns",
    ),
    Mutant(
        "jobs-of-one-owner-without-bound",
        "store/jobs.py",
        ".where(_WAITS, turns.c.turn <= _MOST_OF_ONE)",
        ".where(_WAITS)",
        "tests/store/test_store.py::TestJobs::test_no_worker_takes_more_of_one_owner_than_it_may",
    ),
    Mutant(
        "jobs-that-run-give-no-turn",
        "store/jobs.py",
        '(func.coalesce(had.c.jobs, 0) + 1).label("turn")',
        'literal_column("1").label("turn")',
        "tests/store/test_store.py::TestJobs::test_owners_take_turns",
    ),
    Mutant(
        "places-of-one-owner-without-bound",
        "exchange/places.py",
        "if not self.free or self._held[owner] >= self._most_of_one:",
        "if not self.free:",
        "tests/exchange/test_places.py",
    ),
    Mutant(
        "place-of-an-owner-not-given-back",
        "exchange/places.py",
        "        self._held[owner] -= 1\n",
        "",
        "tests/exchange/test_places.py",
    ),
    Mutant(
        "responses-go-before-conversations",
        "store/eviction.py",
        "islice(heapq.merge(*kinds), BATCH)",
        "islice((one for kind in kinds for one in kind), BATCH)",
        f"{EVICTION}::test_what_was_just_stored_is_there_whatever_else_its_owner_keeps",
    ),
    Mutant(
        "one-free-page-given-back",
        "store/retention.py",
        "range(min(free, VACUUM_PAGES))",
        "range(min(free, 1))",
        GIVEN_BACK,
    ),
    Mutant(
        "one-batch-of-pages-given-back",
        "store/retention.py",
        "    return free > VACUUM_PAGES",
        "    return free < 0",
        GIVEN_BACK,
    ),
]


class Ran(NamedTuple):
    """What became of a run of tests.

    Attributes:
        status: Pytest's exit status; None if it took too long.
        what: What it said of it.
        failed: The first test that failed, if one did.
    """

    status: int | None
    what: str
    failed: str = ""


class Outcome(NamedTuple):
    """What became of one mutant, or of the tests with nothing planted."""

    name: str
    good: bool
    ran: Ran
    seconds: float = 0.0


def copy_of_the_project(folder: Path, tests: Iterable[str]) -> None:
    """The package, its tests and the configuration, with the bytecode of all that these tests import."""
    ignored = shutil.ignore_patterns("__pycache__", ".*", "e2e")
    for name in ("shim", "tests", "schemas"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copy(ROOT / "README.md", folder)
    run_tests(folder, ["--collect-only", *tests], keep_bytecode=True)


def run_tests(
    folder: Path, tests: Sequence[str], seconds: float = SECONDS, *, keep_bytecode: bool = False
) -> Ran:
    """Run tests in a copy of the project."""
    said, failed = folder / "said.txt", folder / "failed.txt"
    failed.write_text("")
    process = NURSERY.Process(target=become_pytest, args=(folder, said, failed, tests, keep_bytecode))
    with ONE_AT_A_TIME:
        process.start()
    in_time = connection.wait([process.sentinel], seconds)
    if not in_time:
        os.killpg(process.pid or 0, signal.SIGKILL)
    with ONE_AT_A_TIME:
        process.join()
    output, test = said.read_text(errors="replace").strip(), failed.read_text()
    if not in_time:
        return Ran(None, test or TOO_LONG, test)
    return Ran(process.exitcode, test or output[-200:], test)


def become_pytest(folder: Path, said: Path, failed: Path, tests: Sequence[str], keep_bytecode: bool) -> None:
    """Become pytest in a copy of the project; what it says goes to a file, and the name of a test that fails to another."""
    os.setsid()  # whatever it starts can be ended with it
    noticed = os.open(failed, os.O_WRONLY)  # now, as tests replace what opens files
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    sys.path[:] = [str(folder), *(place for place in sys.path if Path(place) != ROOT / "tests")]
    sys.dont_write_bytecode = not keep_bytecode
    os.environ["PYTHONPATH"] = str(folder)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "" if keep_bytecode else "1"
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    import pytest  # noqa: PLC0415 -- there already, but not where bugs are planted

    class Watcher:
        failed = False

        def pytest_runtest_logreport(
            self, report: pytest.TestReport, write: Callable[..., int] = os.write
        ) -> None:
            if report.failed and not self.failed:
                self.failed = True
                write(noticed, report.nodeid.encode())

    options = ["-x", "-q", "--no-header", "--tb=no", "--assert=plain", "-p", "no:cacheprovider"]
    sys.exit(pytest.main([*options, *tests], plugins=[Watcher()]))


def try_mutant(folder: Path, mutant: Mutant) -> Outcome:
    """Plant a bug, run its tests, take the bug out again."""
    path = folder / "shim" / mutant.file
    source = path.read_text()
    if source.count(mutant.old) != 1:
        return Outcome(
            mutant.name, good=False, ran=Ran(1, f"found {source.count(mutant.old)} times in {mutant.file}")
        )
    times = path.stat()
    path.write_text(source.replace(mutant.old, mutant.new))
    os.utime(path, (0, 0))  # bytecode is taken for that of a source by its time and size
    try:
        ran = run_tests(folder, mutant.tests.split())
    finally:
        path.write_text(source)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return Outcome(mutant.name, good=ran.status is None or bool(ran.status == 1 and ran.failed), ran=ran)


def try_nothing(folder: Path, tests: Sequence[str]) -> Outcome:
    """Run tests that have noticed a bug where there is none: they must pass, or no kill means anything."""
    ran = run_tests(folder, tests, ALL_SECONDS)
    return Outcome(NOTHING, good=ran.status == 0, ran=ran._replace(what=ran.failed or f"{len(tests)} tests"))


def say(line: str) -> None:
    """One line of the table."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Run the chosen mutants, or all; 0 if every one was killed."""
    if "--list" in arguments:
        say("\n".join(f"{mutant.name:32} {mutant.file}" for mutant in MUTANTS))
        return 0
    unknown = set(arguments) - {mutant.name for mutant in MUTANTS}
    if unknown:
        say(f"no such mutants: {', '.join(sorted(unknown))}")
        return 1
    chosen = [mutant for mutant in MUTANTS if not arguments or mutant.name in arguments]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(WORKERS) as pool:
        folders: SimpleQueue[Path] = SimpleQueue()
        for number in range(WORKERS):
            folder = Path(place) / str(number)
            copy_of_the_project(folder, {test for mutant in chosen for test in mutant.tests.split()})
            folders.put(folder)

        def one(trial: Callable[[Path, T], Outcome], tried: T) -> Outcome:
            folder, began = folders.get(), time.monotonic()
            try:
                return trial(folder, tried)._replace(seconds=time.monotonic() - began)
            finally:
                folders.put(folder)

        def all_of(trial: Callable[[Path, T], Outcome], tried: Iterable[T], good: str, bad: str) -> None:
            for done in as_completed([pool.submit(one, trial, each) for each in tried]):
                outcome = done.result()
                outcomes.append(outcome)
                verdict = good if outcome.good else bad
                say(f"{verdict:8} {outcome.seconds:5.1f} s  {outcome.name:32} {outcome.ran.what[:120]}")

        try:
            all_of(try_mutant, chosen, "killed", "SURVIVED")
            tests = {mutant.name: mutant.tests.split() for mutant in chosen}
            noticed = [
                [each.ran.failed] if each.ran.failed else tests[each.name] for each in outcomes if each.good
            ]
            told = sorted({test for some in noticed for test in some})
            parts = [told[start::WORKERS] for start in range(WORKERS)]
            all_of(try_nothing, filter(None, parts), "passed", "FAILED")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    killed = sum(outcome.good for outcome in outcomes)
    failed = len(outcomes) - killed
    say(f"{killed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
