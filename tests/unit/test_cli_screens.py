"""What each command prints: at 80 and 140 columns, in a pipe, and on a terminal without Unicode."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rotator.app.auditing import ChainVerified
from rotator.app.results import Remark, Rotated, Trouble
from rotator.app.segments import Compared
from rotator.cli.audit import audit_lines, chain_lines, record_lines
from rotator.cli.check import check_lines, summary
from rotator.cli.history import history_lines, steps_in_a_line
from rotator.cli.orphans import orphan_lines
from rotator.cli.page import Page, width_of
from rotator.cli.plan import MOST_ROWS, plan_lines
from rotator.cli.rotate import rotate_lines
from rotator.cli.status import status_lines
from rotator.cli.timeline import Row, bar, timeline
from rotator.cli.verify import verify_lines
from rotator.errors import Refused
from rotator.forecast import Forecast, Span, Validity, project
from rotator.model import CredentialState, Origin, RetireMode, Version, VersionState
from rotator.ports import Tracked
from tests.fakes import plans
from tests.fakes.cli_items import (
    ASCII,
    AUDIT,
    CHECK,
    EXACT,
    HISTORY,
    KEY,
    NARROW,
    ORPHANS,
    PIPE,
    PLAN,
    REMARKS,
    STATUS,
    WHEN,
    WIDE,
    at,
    rotation_item,
    status_item,
    step,
)


def all_screens(page: Page) -> list[list[str]]:
    return [
        list(status_lines(STATUS, REMARKS, page, WHEN)),
        list(check_lines(CHECK, page)),
        list(plan_lines(PLAN, page, WHEN)),
        list(history_lines(HISTORY, page, WHEN)),
        list(orphan_lines(ORPHANS, page, WHEN)),
        list(audit_lines(AUDIT, page, whole=False)),
        list(rotate_lines(rotated(rotation_item("kontrolle-plus-prod")), page, WHEN)),
    ]


@pytest.mark.parametrize("page", [NARROW, ASCII, WIDE])
def test_every_screen_fits_the_terminal(page: Page) -> None:
    assert page.width is not None
    for lines in all_screens(page):
        assert max(map(width_of, lines)) <= page.width
        assert all(line == line.rstrip() for line in lines)


def test_a_terminal_without_unicode_gets_ascii_on_every_screen() -> None:
    for lines in all_screens(ASCII):
        assert "\n".join(lines).isascii()


# -------------------------------------------------------------------------------------------------------------- status


def test_status_answers_whether_anything_is_going_to_break() -> None:
    assert list(status_lines(STATUS, REMARKS, WIDE, WHEN)) == [
        "NAME                 STATE   EXPIRES  NEXT                  LAST ROTATION",
        "kontrolle-plus-prod  ok      in 61 d  rotate in 31 d        29 d ago",
        "screening-eagle      grace   in 61 d  retire old in 21 h    29 d ago",
        "netwrix-aa           due     in 61 d  waiting for a person  29 d ago",
        "fieldops-cert        parked  in 61 d  needs you             abandoned 2 h ago",
        "brand-new            due     -        rotate now            never",
        "",
        (
            "fieldops-cert  Token lacks role FieldOps.Write (found: FieldOps.Read). "
            "The old secret's token lacks it too, so the grant"
        ),
        "               was removed at the issuer, not by this rotation.",
        "               Restore it, then: rotator resume fieldops-cert",
    ]


def test_status_says_exact_times_and_whole_keys_on_request() -> None:
    head, first, *_ = status_lines(STATUS, (), PIPE, EXACT)
    assert head.split()[-2:] == ["KEY", "PROVIDER"]
    assert "2027-01-24 14:02:00Z" in first
    assert first.endswith(f"{KEY}  contoso")


def test_status_at_80_columns_keeps_name_and_state() -> None:
    lines = list(status_lines(STATUS, (), NARROW, EXACT))
    assert lines[0].split() == ["NAME", "STATE", "EXPIRES"]


def test_a_version_whose_end_the_issuer_does_not_tell_is_said_so() -> None:
    item = status_item("x", current={"key_id": KEY, "created_at": None, "expires_at": None})
    assert "not known" in list(status_lines([item], (), PIPE, WHEN))[1]


def test_status_of_nothing_is_a_sentence() -> None:
    assert list(status_lines([], (), PIPE, WHEN)) == ["No credential is configured yet."]


def test_states_are_coloured_and_say_the_same_without() -> None:
    coloured = list(status_lines(STATUS, (), Page(140, colour=True, unicode=True), WHEN))
    assert "\x1b[31mparked\x1b[0m" in coloured[4]
    assert "\x1b[32mok\x1b[0m" in coloured[1]


# --------------------------------------------------------------------------------------------------------------- check


def test_check_shows_what_to_do_only_where_something_is_to_be_done() -> None:
    lines = list(check_lines(CHECK, WIDE))
    assert lines[0] == "configuration        ok    3 credentials, 2 providers, 1 store"
    assert "never shown" not in "\n".join(lines)
    assert lines[3].strip() == "Grant Application.ReadWrite.OwnedBy, then: rotator check"


def test_check_counts_failures_and_warnings() -> None:
    assert summary(CHECK) == "1 failure and 1 warning."
    assert summary(CHECK[3:] * 2) == "2 warnings."
    assert summary(CHECK[:2]) == "All is well."


# ---------------------------------------------------------------------------------------------------------------- plan


def test_plan_says_when_who_what_and_why() -> None:
    assert list(plan_lines(PLAN, WIDE, WHEN)) == [
        "WHEN              NAME                 ACTION  WHY",
        "tomorrow 09:20    screening-eagle      retire  its grace of 24 h ends",
        (
            "Thu 24 Dec 09:00  kontrolle-plus-prod  rotate  "
            "30 d are left of 90 d; the window opens mon-fri 09:00 Europe/Zurich"
        ),
        "now               brand-new            rotate  it has no version yet",
    ]


def test_a_long_plan_is_cut_on_a_terminal_and_whole_in_a_pipe() -> None:
    items = PLAN * MOST_ROWS
    assert list(plan_lines(items, WIDE, WHEN))[-1] == f"… {2 * MOST_ROWS} more; all of them: rotator plan -o jsonl"
    assert len(list(plan_lines(items, PIPE, WHEN))) == 1 + len(items)


def test_a_plan_without_anything_to_do_is_a_sentence() -> None:
    assert list(plan_lines([], PIPE, WHEN)) == ["Nothing is planned in this time."]


def forecast(*versions: Version, **policy: Any) -> Forecast:
    credential = plans.credential(**policy)
    state = CredentialState(credential.name, credential.binding, "contoso", "entra")
    return project(credential, Tracked(state, versions, None, None, None), plans.NOW, plans.NOW + 90 * plans.DAY)


def test_a_bar_shows_rotation_grace_and_retirement_in_their_places() -> None:
    until = plans.NOW + 90 * plans.DAY
    cells = bar(forecast(plans.version(), grace=10 * plans.DAY), plans.NOW, until, 90)
    assert cells == "█" * 50 + "R" + "┄" * 9 + "g" + "█" * 29


def test_a_grace_shorter_than_a_cell_still_shows_its_end() -> None:
    until = plans.NOW + 90 * plans.DAY
    assert bar(forecast(plans.version()), plans.NOW, until, 20) == "█" * 11 + "Rg" + "█" * 7


def test_a_dead_secret_is_seen() -> None:
    until = plans.NOW + 90 * plans.DAY
    dead = Forecast((), (Span(plans.NOW, until, Validity.EXPIRED, "k"),), until)
    assert bar(dead, plans.NOW, until, 20) == "░" * 20


def test_everything_happens_inside_the_bar_even_at_its_ends() -> None:
    until = plans.NOW + 90 * plans.DAY
    short = forecast(
        plans.version(created_at=plans.NOW - plans.DAY, expires_at=plans.NOW + plans.HOUR),
        lifetime=2 * plans.DAY,
        rotate_before=plans.DAY,
        grace=plans.HOUR,
    )
    assert len(bar(short, plans.NOW, until, 20)) == 20


def test_the_timeline_explains_the_signs_it_uses_and_no_other() -> None:
    until = plans.NOW + 90 * plans.DAY
    rows = [Row("kontrolle-plus-prod", forecast(plans.version()))]
    lines = list(timeline(rows, plans.NOW, until, NARROW))
    assert lines[0].split() == ["today", "+30", "d", "+60", "d", "+90", "d"]
    assert [width_of(line) for line in lines[:2]] == [80, 80]
    assert lines[-1].strip() == "█ serving  R rotate  g retire old"


def test_the_timeline_fits_with_every_sign_in_it() -> None:
    until = plans.NOW + 90 * plans.DAY
    every = Forecast(
        (*forecast(plans.version()).dues, *forecast(plans.version(), plans.previous(), retire=RetireMode.MANUAL).dues),
        tuple(
            Span(plans.NOW + 20 * n * plans.DAY, plans.NOW + 20 * (n + 1) * plans.DAY, kind, None)
            for n, kind in enumerate(Validity)
        ),
        until,
    )
    for page in (NARROW, ASCII):
        assert max(map(width_of, timeline([Row("n" * 30, every)], plans.NOW, until, page))) <= 80


def test_the_timeline_is_ascii_where_it_must_be() -> None:
    lines = list(timeline([Row("x", forecast(plans.version()))], plans.NOW, plans.NOW + 90 * plans.DAY, ASCII))
    assert "\n".join(lines).isascii()


def test_colours_of_a_bar_leave_its_signs_where_they_are() -> None:
    page = Page(80, colour=True, unicode=True)
    until = plans.NOW + 90 * plans.DAY
    line = list(timeline([Row("x", forecast(plans.version()))], plans.NOW, until, page))[1]
    plain = list(timeline([Row("x", forecast(plans.version()))], plans.NOW, until, NARROW))[1]
    assert line.replace("\x1b[32m", "").replace("\x1b[0m", "") == plain


def test_a_foreign_version_does_not_confuse_the_picture() -> None:
    found = forecast(plans.version(origin=Origin.FOREIGN, state=VersionState.CURRENT))
    assert set(bar(found, plans.NOW, plans.NOW + timedelta(days=90), 40)) <= set("█R┄g░ ")


# -------------------------------------------------------------------------------------------------------------- rotate


def rotated(*items: dict[str, object], remarks: tuple[Remark, ...] = (), troubles: tuple[Trouble, ...] = ()) -> Rotated:
    return Rotated(items, remarks, troubles, {"kontrolle-plus-prod": "kv/partners/kontrolle-plus/prod"}, 0)


def test_a_promotion_says_how_long_it_took_what_consumers_read_and_what_comes_next() -> None:
    remark = Remark("kontrolle-plus-prod", "The old secret works until tomorrow 14:02, then it is retired.")
    lines = list(rotate_lines(rotated(rotation_item("kontrolle-plus-prod"), remarks=(remark,)), WIDE, WHEN))
    assert lines == [
        "kontrolle-plus-prod  promoted in 41 s. Consumers read kv/partners/kontrolle-plus/prod v8.",
        "                     The old secret works until tomorrow 14:02, then it is retired.",
    ]


def test_a_version_that_is_shown_again_was_put_back() -> None:
    item = {**rotation_item("kontrolle-plus-prod"), "reason": "reverted"}
    said = "kontrolle-plus-prod  put back in 41 s. Consumers read kv/partners/kontrolle-plus/prod v8."
    assert list(rotate_lines(rotated(item), WIDE, WHEN)) == [said]


def test_what_was_not_due_is_one_line_for_all() -> None:
    items = [rotation_item(f"c{n}", "skipped", store_version=None) for n in range(3)]
    assert list(rotate_lines(rotated(*items), PIPE, WHEN)) == ["3 credentials: nothing was due."]


def test_one_that_could_not_go_on_is_not_said_to_be_idle() -> None:
    trouble = Trouble("x", Refused("x is paused", hint="rotator resume x"))
    found = rotated(rotation_item("x", "skipped", store_version=None), troubles=(trouble,))
    assert list(rotate_lines(found, PIPE, WHEN)) == []


def test_a_skipped_one_with_something_to_say_says_it() -> None:
    item = rotation_item("x", "skipped", store_version=None, reason="paused")
    assert list(rotate_lines(rotated(item, remarks=(Remark("x", "It is paused."),)), PIPE, WHEN)) == [
        "x  skipped.",
        "   It is paused.",
    ]
    swept = rotation_item("x", "skipped", store_version=None, reason="nothing_due")
    assert list(rotate_lines(rotated(swept, remarks=(Remark("x", "Retired an orphan: key k"),)), PIPE, WHEN)) == [
        "x  nothing was due.",
        "   Retired an orphan: key k",
    ]


def test_a_rehearsal_says_everything_that_would_be_done() -> None:
    remarks = (Remark("x", "create a version, valid for 90 d"), Remark("x", "retire key k after a grace of 24 h"))
    found = rotated(rotation_item("x", "planned", store_version=None), remarks=remarks)
    assert list(rotate_lines(found, PIPE, WHEN)) == [
        "x  planned.",
        "   create a version, valid for 90 d",
        "   retire key k after a grace of 24 h",
    ]


def test_an_abandoned_one_says_that_the_old_one_serves() -> None:
    line = list(rotate_lines(rotated(rotation_item("x", "abandoned", store_version=None)), PIPE, WHEN))
    assert line == ["x  abandoned in 41 s: the new version is undone, the old one serves."]


def test_an_abandoned_one_says_nothing_of_versions_that_there_are_not() -> None:
    item = {**rotation_item("x", "abandoned", store_version=None), "new_key_id": None, "old_key_ids": []}
    assert list(rotate_lines(rotated(item), PIPE, WHEN)) == ["x  abandoned in 41 s: no new version was made."]


# -------------------------------------------------------------------------------------------- verify, history, orphans


def test_verify_shows_what_was_proved_and_leaves_the_reasons_to_standard_error() -> None:
    items = [
        {"name": "a", "outcome": "proved", "proofs": 1, "expires_at": at(hours=1, minutes=1), "error": None},
        {
            "name": "b",
            "outcome": "refused",
            "proofs": 0,
            "expires_at": None,
            "error": {"code": "invalid_client", "message": "The secret is refused.", "hint": "Then: rotator rotate b"},
        },
    ]
    assert list(verify_lines(items, PIPE, WHEN)) == [
        "NAME  OUTCOME  PROOFS  EXPIRES",
        "a     proved   1       in 61 min",
        "b     refused  0       -",
    ]


def test_history_tells_a_rotation_in_one_line() -> None:
    assert list(history_lines(HISTORY, WIDE, WHEN)) == [
        "ROTATION  WHEN          OUTCOME    WHY          STEPS",
        "7f3a      today 14:02   promoted   requested    create 0.8 s · stage · verify 39 s · promote",
        (
            "4b77      22 Nov 14:02  abandoned  near_expiry  "
            "create 0.7 s · verify failed: roles lacks ProviderApi.Access · undo"
        ),
    ]


def test_a_step_that_was_repeated_is_told_once_with_its_count() -> None:
    steps = [step("create", "failed"), step("create", seconds=0.8), step("promote")]
    assert steps_in_a_line(steps).replace("\N{NO-BREAK SPACE}", " ") == "create 0.8 s (2 times) · promote"


def test_history_gives_every_step_a_line_on_request() -> None:
    lines = list(history_lines(HISTORY[1:], PIPE, EXACT))
    assert lines[0] == "4b77  2026-11-22 13:02:00Z  abandoned  near_expiry"
    assert lines[2].split() == ["2026-11-24", "13:01:30Z", "verify", "failed", "roles", "lacks", "ProviderApi.Access"]


def test_a_rotation_that_goes_on_is_unfinished() -> None:
    going = {**HISTORY[0], "outcome": None, "finished_at": None}
    assert "unfinished" in list(history_lines([going], PIPE, WHEN))[1]
    assert list(history_lines([], PIPE, WHEN)) == ["It was never rotated."]


def test_long_rotation_ids_are_short_on_a_terminal_but_where_exact_values_are_wanted() -> None:
    long = {**HISTORY[0], "rotation_id": "4d7fd1b4841042b4ae7b79d71d6c3750"}
    assert list(history_lines([long], WIDE, WHEN))[1].startswith("4d7fd1b4  ")
    assert list(history_lines([long], PIPE, WHEN))[1].startswith("4d7fd1b4841042b4ae7b79d71d6c3750  ")
    assert next(history_lines([long], WIDE, EXACT)).startswith("4d7fd1b4841042b4ae7b79d71d6c3750  ")


def test_orphans_come_first_foreign_ones_apart_and_ours_in_use_only_on_request() -> None:
    lines = list(orphan_lines(ORPHANS, WIDE, WHEN))
    assert [line.split()[0] for line in lines[1:3]] == ["orphan", "foreign"]
    assert lines[-1] == "1 orphan. 1 foreign version, never touched."
    assert [line.split()[0] for line in list(orphan_lines(ORPHANS, PIPE, EXACT))[1:4]] == [
        "orphan",
        "foreign",
        "current",
    ]
    assert list(orphan_lines(ORPHANS[:1], PIPE, WHEN)) == ["No orphans."]


def test_key_ids_of_orphans_are_whole_in_a_pipe() -> None:
    known = sorted(str(item["key_id"]) for item in ORPHANS if item["class"] in ("orphan", "foreign"))
    assert sorted(line.split()[2] for line in list(orphan_lines(ORPHANS, PIPE, WHEN))[1:3]) == known
    assert not any(key in line for key in known for line in orphan_lines(ORPHANS, WIDE, WHEN))


# --------------------------------------------------------------------------------------------------------------- audit


def test_the_audit_log_at_80_columns_keeps_what_happened_to_whom_and_how_it_went() -> None:
    assert next(audit_lines(AUDIT, NARROW, whole=False)).split()[-3:] == ["EVENT", "CREDENTIAL", "OUTCOME"]


def test_the_audit_log_in_a_pipe_is_whole() -> None:
    lines = list(audit_lines(AUDIT, PIPE, whole=False))
    assert lines[1].endswith("key asked for 90 d")
    assert lines[2].endswith(f"key {KEY}")
    assert lines[3].endswith("proved, kv/partners/x v8")
    assert list(audit_lines(AUDIT, WIDE, whole=False))[2].endswith("key 4c1e…9a02")
    assert KEY in list(audit_lines(AUDIT, WIDE, whole=True))[2]
    assert list(audit_lines([], PIPE, whole=False)) == ["No record fits."]


def test_one_record_shows_each_key_that_says_something() -> None:
    lines = list(record_lines(AUDIT[1:2], PIPE))
    assert lines[0] == "seq          1842"
    assert not any(line.startswith("detail") for line in lines)


def test_a_sound_chain_says_from_where_to_where_and_what_the_stores_say() -> None:
    found = ChainVerified((), 1, 1853, "9b1f" + "0" * 60, None, (Compared("vault", None, "could not be reached."),), 0)
    assert next(chain_lines(found, PIPE)).endswith(f"head {found.head}")
    assert list(chain_lines(found, WIDE)) == [
        "chain verified: 1 to 1853, head 9b1f…0000",
        "vault  could not be reached.",
    ]


def test_a_broken_chain_says_where_and_shows_the_record() -> None:
    found = ChainVerified(tuple(AUDIT[:1]), 1, 1853, "", "Record 1841 was changed.", (), 4)
    lines = list(chain_lines(found, PIPE))
    assert lines[0] == "chain broken: Record 1841 was changed."
    assert lines[1] == "seq          1841"


def test_an_empty_chain_is_a_sentence() -> None:
    assert list(chain_lines(ChainVerified((), 0, 0, "", None, (), 0), PIPE)) == ["There is no record yet."]
