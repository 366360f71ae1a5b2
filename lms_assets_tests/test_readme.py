"""What READMEs, docs and .env.example say is what settings, commands and tree are."""

import re
from pathlib import Path

import click
import pytest

from lms_assets.commands.cli import COMMANDS, lms
from lms_assets.settings import Settings, project_folder

FOLDER = project_folder()
READMES = ["README.md", "README.ru.md"]
SETTINGS = ["docs/settings.md", "docs/ru/settings.md"]
PAGES = sorted(
    path.relative_to(FOLDER).as_posix()
    for path in [
        *FOLDER.glob("*.md"),
        *(FOLDER / "docs").rglob("*.md"),
        *(FOLDER / "deploy").rglob("*.md"),
    ]
)
# LMS_DEMO is how `lms demo` tells its own processes; nobody sets it.
NAMES = sorted(name.upper() for name in Settings.model_fields if name != "is_demo")


def text_of(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def settings_rows(readme: str) -> dict[str, str]:
    """Setting → what the table says of it unset."""
    rows = [line.split("|") for line in text_of(readme).splitlines() if line.startswith("| `")]
    return {name: row[2] for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row[1])}


def verbs(group: click.Group, prefix: str = "./lms") -> list[str]:
    """Every command of the group, those of its groups too, as they are typed."""
    found = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found.append(f"{prefix} {name}")
        if isinstance(command, click.Group):
            found += verbs(command, f"{prefix} {name}")
    return found


def default_of(name: str) -> object:
    return Settings.model_fields[name.lower()].get_default()


@pytest.mark.parametrize("readme", SETTINGS)
def test_the_settings_table_names_every_setting_and_no_other(readme: str) -> None:
    assert sorted(settings_rows(readme)) == NAMES


@pytest.mark.parametrize("readme", SETTINGS)
@pytest.mark.parametrize("name", [n for n in NAMES if default_of(n) not in (None, (), False)])
def test_the_settings_table_says_the_default(readme: str, name: str) -> None:
    default = default_of(name)
    shown = f"{default:g}" if isinstance(default, float) else str(default)
    assert f"`{shown}`" in settings_rows(readme)[name]


@pytest.mark.parametrize("verb", verbs(lms))
def test_every_verb_is_in_the_table_of_commands_in_both_languages(verb: str) -> None:
    rows = [row for row in text_of("docs/commands.md").splitlines() if row.startswith("| `./lms")]
    (row,) = [row for row in rows if re.search(rf"{re.escape(verb)}\b", row.split(" | ")[0])]
    _, english, russian = row.strip("| ").rsplit(" | ", 2)
    assert english.isascii()
    assert re.search("[а-я]", russian)


@pytest.mark.parametrize("readme", PAGES)
def test_every_verb_that_is_mentioned_exists(readme: str) -> None:
    mentioned = re.findall(r"\./lms ([a-z]+)", text_of(readme))
    assert set(mentioned) - set(COMMANDS) == set()


@pytest.mark.parametrize("readme", PAGES)
def test_every_link_into_the_repository_leads_somewhere(readme: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", text_of(readme))
    inside = [link for link in links if not link.startswith("http")]
    assert [link for link in inside if not (FOLDER / readme).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("readme", READMES)
def test_a_readme_is_short(readme: str) -> None:
    assert len(text_of(readme).split()) <= 700


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_each_page_is_found_from_a_readme(page: str) -> None:
    assert any(f"({page}" in text_of(readme) for readme in READMES)


@pytest.mark.parametrize("page", ["settings", "commands", "operations", "data", "earlier-systems"])
def test_the_users_documents_exist_in_russian_with_the_same_headings(page: str) -> None:
    english, russian = (text_of(f"docs/{folder}{page}.md") for folder in ("", "ru/"))
    headings, tables = r"(?m)^#+ ", r"(?m)^\|"
    assert len(re.findall(headings, english)) == len(re.findall(headings, russian))
    # The table of commands stands once, with a column for each language.
    if page != "commands":
        assert len(re.findall(tables, english)) == len(re.findall(tables, russian))


def test_the_example_names_every_setting_once() -> None:
    named = re.findall(r"^#([A-Z][A-Z0-9_]+)=", text_of(".env.example"), flags=re.MULTILINE)
    assert sorted(named) == NAMES


def test_the_example_says_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    example = tmp_path / ".env"
    example.write_text(
        re.sub(r"^#([A-Z][A-Z0-9_]+=)", r"\1", text_of(".env.example"), flags=re.MULTILINE),
        encoding="utf-8",
    )
    assert Settings(_env_file=example) == Settings(_env_file=None)


@pytest.mark.parametrize(
    "name", [n for n in NAMES if default_of(n) is not None and default_of(n) != ()]
)
def test_the_example_writes_out_each_default(name: str) -> None:
    assert re.search(rf"^#{name}=\S", text_of(".env.example"), flags=re.MULTILINE)


def test_the_example_explains_each_group_of_settings() -> None:
    blocks = text_of(".env.example").split("\n\n")
    assert all(block.startswith("# ") for block in blocks)
