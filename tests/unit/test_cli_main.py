"""The outermost command: what it imports, how options may stand, and what every kind of failure becomes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from rotator.app.config import ConfigFaults, Fault
from rotator.app.usage import UsageFault
from rotator.cli.asking import agreed, agreed_to_danger
from rotator.cli.completing import credential_names
from rotator.cli.failing import explain
from rotator.cli.lazy import Command, Group
from rotator.cli.main import main
from rotator.cli.options import CommonOption
from rotator.cli.talk import Format, Loudness, Talk
from rotator.errors import Busy, ChainBroken, Denied, Misconfigured, RotatorError, StateUnusable, Throttled, Transient
from rotator.kit import Interrupted

SAMPLE = str(Path(__file__).parents[2] / "config.yaml")


def run(*args: str) -> Result:
    return CliRunner().invoke(main, list(args))


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command and group with its path."""
    context = click.Context(main, info_name="rotator")
    waiting: list[tuple[str, Group]] = [("", main)]
    while waiting:
        path, group = waiting.pop()
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield f"{path} {name}".strip(), command
            if isinstance(command, Group):
                waiting.append((f"{path} {name}".strip(), command))


# ---------------------------------------------------------------------------------------------------------------- table


def test_the_commands_are_those_of_the_contract() -> None:
    assert {path for path, command in commands() if not isinstance(command, Group)} == {
        *("check", "plan", "rotate", "verify", "status", "history", "read", "retire", "orphans", "pause", "resume"),
        *("forget", "intake", "audit list", "audit show", "audit verify", "audit accept", "db upgrade", "db current"),
        *("db backup", "db restore", "config show", "config schema", "sandbox", "demo", "completion"),
        *("adopt", "daemon", "report", "audit follow", "audit export", "audit prune"),
    }


def test_what_the_list_says_of_a_command_is_what_its_help_says_first() -> None:
    for path, group in [("", main), *commands()]:
        if isinstance(group, Group):
            for name, entry in group.entries.items():
                command = group.get_command(click.Context(group), name)
                assert command is not None
                assert (command.help or "").partition("\n")[0] == entry.does, f"{path} {name}"


def test_every_command_takes_the_common_options_after_it_too() -> None:
    for path, command in commands():
        names = {param.name for param in command.params if isinstance(param, CommonOption)}
        assert names == {"config", "output", "verbose", "quiet", "no_color"}, path


def test_every_command_that_changes_something_takes_yes() -> None:
    changing = {"rotate", "retire", "pause", "resume", "forget", "adopt", "intake", "read", "orphans"}
    changing |= {"audit accept", "audit prune", "db upgrade", "db backup", "db restore"}
    assert {path for path, one in commands() if any("--yes" in param.opts for param in one.params)} == changing


def test_help_imports_click_and_nothing_heavier() -> None:
    code = (
        "import sys\nfrom rotator.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'pydantic', 'sqlalchemy', 'rich', 'httpx2', 'hvac', 'yaml', 'msgraph', 'json.decoder'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() in ("[]", "['json.decoder']")


def test_a_command_is_not_imported_before_it_is_called() -> None:
    code = "import sys, rotator.cli.main\nprint([m for m in sys.modules if m.startswith('rotator.cli.status')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("imported", ["click", "rotator.cli.talk", "rotator.cli.status"])
def test_ctrl_c_while_it_starts_ends_it_without_a_traceback(imported: str) -> None:
    code = f"""
import os, signal, sys
from importlib.metadata import entry_points

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it

class CtrlC:
    def find_spec(self, name, path, target=None):
        if name == {imported!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, CtrlC())
sys.argv[1:] = ["status"]
[program] = entry_points(group="console_scripts", name="rotator")
program.load()()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (130, False), done.stderr


def test_the_version_is_said() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, "rotator 0.1.0\n")


# -------------------------------------------------------------------------------------------------------------- options


@click.command(cls=Command)
@click.pass_context
def spoken(ctx: click.Context) -> int:
    """Say what the options came to."""
    talk = ctx.ensure_object(Talk)
    talk.data([f"{talk.config} {talk.form} {talk.loudness} {talk.plain}"])
    return 0


class Echo(Group):
    """The real group with one more command, which tells what it was given."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return spoken if cmd_name == "spoken" else None


@pytest.mark.parametrize(
    "args",
    [
        ["--config", "f", "-o", "json", "-v", "--no-color", "spoken"],
        ["spoken", "--config", "f", "-o", "json", "-v", "--no-color"],
        ["--config", "f", "-v", "spoken", "--output=json", "--no-color"],
    ],
)
def test_options_stand_before_or_after_the_command(args: list[str]) -> None:
    group = Echo("rotator", sections={"x": {"spoken": main.entries["status"]}})
    assert CliRunner().invoke(group, args).stdout == "f json verbose True\n"


def test_the_option_after_the_command_wins() -> None:
    group = Echo("rotator", sections={"x": {"spoken": main.entries["status"]}})
    assert (
        CliRunner()
        .invoke(group, ["--config", "a", "-q", "spoken", "--config", "b", "-v"])
        .stdout.startswith("b table v")
    )


# ------------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["sttus"], 'There is no command "sttus". Did you mean "status"?\n  See: rotator --help'),
        (["audit", "lst"], 'There is no command "lst". Did you mean "list"?\n  See: rotator audit --help'),
        (["status", "--what"], "No such option '--what'.\n  See: rotator status --help"),
        (["history"], "Missing argument 'NAME'.\n  See: rotator history --help"),
        (["rotate", "--now"], "--now rotates whether it is due or not"),
        (["rotate", "a", "--all"], "three ways to choose"),
        (["rotate", "a", "--emergency"], "Add --now to --emergency"),
        (["rotate", "a", "--reason", "x"], "Add --now to --reason"),
        (["rotate", "--label", "env"], '"env" is no label'),
        (["pause"], "Give one or more NAMEs, or --all"),
        (["pause", "a", "--all"], "Give one or more NAMEs, or --all"),
        (["forget", "a"], "Retire them: rotator forget a --retire\n  Leave them, working: rotator forget a --leave"),
        (["forget", "a", "--retire", "--leave"], "What becomes of its versions is said twice."),
        (["read", "a", "--field", "f", "--to", "x", "--mode", "rw"], '"rw" is no mode'),
        (["read", "a", "--field", "f", "--to", "-", "--mode", "600"], "--mode and --group are of a file"),
        (["audit", "list", "--since", "soon"], '"soon" is no time'),
    ],
)
def test_wrong_usage_is_2_with_what_to_type_instead(args: list[str], said: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("rotator: ")
    assert said in result.stderr


@pytest.mark.parametrize("args", [["retire", "x"], ["orphans", "--retire"], ["forget", "x", "--retire"]])
def test_a_dangerous_act_without_a_terminal_names_the_command_that_says_yes(args: list[str]) -> None:
    result = run("--config", SAMPLE, *args)
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith(f"rotator --config {SAMPLE} {' '.join(args)} --yes")


def test_an_emergency_without_a_terminal_names_the_command_that_says_yes() -> None:
    result = run("rotate", "--now", "kontrolle-plus-prod", "--emergency", "--config", SAMPLE, "--reason", "it leaked")
    assert result.exit_code == 2
    command = f"rotator rotate --now kontrolle-plus-prod --emergency --config {SAMPLE} --reason 'it leaked' --yes"
    assert result.stderr.rstrip().endswith(command)


def test_yes_answers_and_a_harmless_question_needs_nobody() -> None:
    assert agreed_to_danger(Talk(yes=True), "Really?")
    assert agreed(Talk(), "Really?")  # there is no terminal here


def test_a_bare_call_shows_the_help_on_standard_error() -> None:
    result = run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: rotator")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RotatorError("m", hint="h"), 1),
        (UsageFault("m", hint="h"), 2),
        (ChainBroken("m", hint="h"), 4),
        (Transient("m", hint="h"), 69),
        (Busy("m", hint="h"), 75),
        (Throttled("m", hint="h"), 75),
        (Denied("m", hint="h"), 77),
        (Misconfigured("m", hint="h"), 78),
        (StateUnusable("m", hint="h"), 1),
    ],
)
def test_each_kind_of_failure_has_its_status_and_its_next_step(
    error: RotatorError, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(Talk(), error) == status
    assert capsys.readouterr() == ("", "rotator: m\n  h\n")


def test_a_failure_of_one_credential_names_it_once_and_repeats_no_step(capsys: pytest.CaptureFixture[str]) -> None:
    Talk().trouble("the role is missing", "then: rotator rotate a", who="a")
    Talk().trouble("a is paused until: rotator resume a", "rotator resume a", who="a")
    assert capsys.readouterr().err.splitlines() == [
        "a: the role is missing",
        "  then: rotator rotate a",
        "rotator: a is paused until: rotator resume a",
    ]


def test_faults_of_the_configuration_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    faults = ConfigFaults([Fault(Path("config.yaml"), 31, 7, "credentials[0].policy.grace", "too long", "Use 30d.")])
    assert explain(Talk(), faults) == 78
    assert capsys.readouterr().err.splitlines() == [
        "config.yaml:31:7: credentials[0].policy.grace: too long",
        "  Use 30d.",
        "1 fault; nothing was contacted.",
        "Mend it, then look again: rotator check --offline",
    ]


def test_an_unexpected_failure_shows_its_kind_and_place_and_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        local = "a-value-that-must-not-be-seen"
        raise KeyError(local)
    except KeyError as error:
        for loudness in (Loudness.NORMAL, Loudness.VERBOSE):
            assert explain(Talk(loudness=loudness), error) == 1
    said = capsys.readouterr().err
    assert "KeyError in test_cli_main.py, line " in said
    assert "a-value" not in said.replace('local = "a-value', "")
    assert said.count("Traceback") == 0


def test_a_run_that_was_stopped_in_the_middle_is_75(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(Talk(), Interrupted()) == 75
    assert "the next run settles it" in capsys.readouterr().err


def test_an_interruption_is_130_and_a_reader_that_left_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(Talk(), KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "rotator: interrupted; nothing was begun.\n"


@pytest.mark.parametrize("command", ["--version", "completion bash", "config schema"])
def test_a_reader_that_left_early_gets_no_complaint(command: str) -> None:
    done = subprocess.run(
        f"{sys.executable} -m rotator.cli.main {command} | true",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert (done.stdout, done.stderr) == ("", "")


# ----------------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize("items", [[], [{"name": "a", "at": None}, {"name": "ü"}]])
def test_json_is_one_object_and_jsonl_one_item_a_line(
    items: list[dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    Talk(form=Format.JSON).show("StatusList", items, lambda _: ["never"])
    assert json.loads(capsys.readouterr().out) == {"apiVersion": "rotator/v1", "kind": "StatusList", "items": items}
    Talk(form=Format.JSONL).show("StatusList", items, lambda _: ["never"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == items


def test_quiet_leaves_out_remarks_and_keeps_errors(capsys: pytest.CaptureFixture[str]) -> None:
    talk = Talk(loudness=Loudness.QUIET)
    talk.say("a remark")
    talk.trouble("a failure", "a step")
    assert capsys.readouterr() == ("", "rotator: a failure\n  a step\n")


def test_the_effective_configuration_is_yaml_for_people_and_json_for_machines() -> None:
    shown = run("config", "show", "--config", SAMPLE)
    assert shown.stdout.startswith("version: 1\n")
    assert json.loads(run("-o", "json", "config", "show", "--config", SAMPLE).stdout)["version"] == 1


def test_the_schema_is_json_whatever_form_is_asked_for() -> None:
    assert json.loads(run("config", "schema").stdout)["title"] == "config.yaml of rotator"


# ----------------------------------------------------------------------------------------------------------- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_ROTATOR_COMPLETE" in result.stdout
    assert result.stderr == ""


def test_names_are_completed_from_the_configuration_and_the_files_it_includes(tmp_path: Path) -> None:
    (tmp_path / "credentials.d").mkdir()
    (tmp_path / "config.yaml").write_text(
        'include: [credentials.d/*.yaml]\ncredentials:\n  - name: "alpha"  # first\n  - {name: beta, x: 1}\n'
    )
    (tmp_path / "credentials.d" / "more.yaml").write_text("credentials:\n- provider: {use: x}\n  name: gamma\n")
    talk = Talk(config=str(tmp_path / "config.yaml"))
    assert credential_names(talk, "") == ["alpha", "beta", "gamma"]
    assert credential_names(talk, "ga") == ["gamma"]


def test_includes_written_as_a_list_of_lines_are_found_too(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("include:\n  - a.yaml\n  - 'b.yaml'\ncredentials: []\n")
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"credentials:\n  - name: from-{name}\n")
    assert credential_names(Talk(config=str(tmp_path / "config.yaml")), "") == ["from-a", "from-b"]


def test_completion_without_a_configuration_offers_nothing(tmp_path: Path) -> None:
    assert credential_names(Talk(config=str(tmp_path / "none.yaml")), "") == []


def test_the_tab_key_offers_commands_options_and_names() -> None:
    def offered(line: str, word: int) -> list[str]:
        environ = {"_ROTATOR_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(word)}
        answer = CliRunner(env={**environ, "ROTATOR_CONFIG": SAMPLE}).invoke(main, [])
        return [one.partition(",")[2] for one in answer.stdout.split()]

    assert offered("rotator re", 1) == ["report", "retire", "resume", "read"]
    assert offered("rotator history ", 2) == ["kontrolle-plus-prod", "site-reports-prod"]
    assert offered("rotator rotate --em", 2) == ["--emergency"]
    assert offered("rotator status -o j", 3) == ["json", "jsonl"]


# -------------------------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_nowhere_and_no_file_takes_its_place(closed: str, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    ask = f"import os; open({str(seen)!r}, 'w').write(' '.join(os.readlink(f'/proc/self/fd/{{n}}') for n in (0, 1, 2)))"
    code = f"from rotator.cli.streams import stand_in_for_closed_streams as f; f(); {ask}; print(1)"
    line = f'"$0" -c "$1" {closed}; "$0" -m rotator.cli.main --config "$2" config show {closed}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, code, SAMPLE], capture_output=True, stdin=subprocess.PIPE, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert seen.read_text().split().count("/dev/null") == closed.count("&-")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("command", [("config", "show"), ("config", "schema"), ("config", "show", "-o", "json")])
def test_a_full_disk_under_standard_output_is_no_fault_of_ours(command: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rotator.cli.main", "--config", SAMPLE, *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("rotator: Standard output cannot be written: No space left on device.\n")
    assert "fault of rotator" not in done.stderr and "Traceback" not in done.stderr
