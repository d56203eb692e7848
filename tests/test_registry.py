"""Entry points: what is installed is found by name, one at a time, and a broken one takes no other down."""

import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from router import UnknownVenue, VenueError, registry
from router.testing import Simulator
from router.venue import Spec

VENUES = ["b2trader", "dmex", "qfex"]
PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
BUILT_IN = sorted(PROJECT["entry-points"]["router.adapters"])
OTHER = """
from router.venue import Spec

class Other:
    declared = Spec(title="other", docs_url="", cancel_kinds=frozenset())

    @classmethod
    def from_environ(cls, environ):
        raise OSError(f"no such file: {environ['OTHER_PASSWORD']}")
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install a distribution for the length of a test: its modules' source by name, and its entry_points.txt."""

    def install(distribution, entry_points, **modules):
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(entry_points))
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)

    return install


@pytest.mark.parametrize("name", VENUES)
def test_a_known_name_gives_the_adapter_class_and_its_declaration(name):
    found = registry.adapter(name)
    assert isinstance(found.declared, Spec)
    assert found.declared.title == name


@pytest.mark.parametrize("name", VENUES)
def test_a_known_name_gives_the_simulator_class(name):
    assert issubclass(registry.simulator(name), Simulator)


@pytest.mark.parametrize("name", VENUES)
async def test_an_adapter_is_made_from_its_simulators_environment(name):
    async with registry.simulator(name)() as simulator:
        adapter = registry.from_environ(name, simulator.environment)
        assert type(adapter) is registry.adapter(name)
        assert {adapter.spec.url, adapter.spec.http_url} & {simulator.url}


@pytest.mark.parametrize("name", VENUES)
def test_missing_credentials_are_a_value_error(name):
    with pytest.raises(ValueError, match=r"token|secret_key|private_key"):
        registry.from_environ(name, {})


@pytest.mark.parametrize(("find", "group"), [(registry.adapter, "adapters"), (registry.simulator, "simulators")])
def test_an_unknown_name_is_refused_naming_the_known_ones(find, group):
    known = ", ".join(sorted(PROJECT["entry-points"][f"router.{group}"]))
    with pytest.raises(UnknownVenue, match=f"^venue was 'mtgox'; known: {known}$"):
        find("mtgox")


def test_installed_gives_every_adapter_by_name():
    assert registry.installed() == {name: registry.adapter(name) for name in BUILT_IN}


def test_another_distribution_adds_a_venue(package):
    package("other", "[router.adapters]\nother = other_venue:Other\n", other_venue=OTHER)
    assert registry.adapter("other").__module__ == "other_venue"
    assert sorted(registry.installed()) == sorted([*BUILT_IN, "other"])
    assert [(each.name, each.package) for each in registry.plugins() if each.name == "other"] == [
        ("other", "other 1.0")
    ]
    assert [each.name for each in registry.plugins(distribution=registry.DISTRIBUTION)] == BUILT_IN


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module_at_all\n", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("raise RuntimeError('out of order')\n", "RuntimeError: out of order"),
        ("here is no Python\n", "SyntaxError"),
        ("Another = 1\n", "AttributeError"),
        ("class Text(Exception):\n    __str__ = None\nraise Text\n", "Text: its text cannot be read"),
        ("raise RuntimeError('much ' * 1000)\n", "RuntimeError: much much"),
        ("raise BaseException('beneath')\n", "BaseException: beneath"),
    ],
)
def test_a_broken_entry_point_is_named_with_its_error_and_the_others_work(package, monkeypatch, source, said):
    package("broken", "[router.adapters]\nbroken = broken_venue:Broken\n", broken_venue=source)
    monkeypatch.delitem(sys.modules, "broken_venue", raising=False)
    with pytest.raises(VenueError) as caught:
        registry.adapter("broken")
    assert str(caught.value).startswith(f"broken: broken_venue:Broken cannot be imported: {said}")
    assert caught.value.venue == "broken"
    assert len(str(caught.value)) < 500
    found = registry.installed()
    assert isinstance(found.pop("broken"), VenueError)
    assert found == {name: registry.adapter(name) for name in BUILT_IN}


def test_an_interruption_while_importing_is_none_of_the_venues_errors(package, monkeypatch):
    package("slow", "[router.adapters]\nslow = slow_venue:Slow\n", slow_venue="raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        registry.installed()


@pytest.mark.parametrize(
    ("group", "value", "said"),
    [
        (registry.ADAPTERS, "json:dumps", "json:dumps is no adapter class: its `declared` is no Spec"),
        (registry.ADAPTERS, "json", "json is no adapter class: its `declared` is no Spec"),
        (registry.ADAPTERS, "half_venue:Half", "half_venue:Half is no adapter class: it has no from_environ()"),
        (registry.ADAPTERS, "what is this?", "its entry point is 'what is this?', and must be module:name"),
        (registry.SIMULATORS, "json:JSONDecoder", "json:JSONDecoder is no router.testing.Simulator"),
        (registry.SIMULATORS, "json:dumps", "json:dumps is no router.testing.Simulator"),
        (
            registry.SIMULATORS,
            "router.testing:Simulator",
            "router.testing:Simulator is no whole Simulator: it lacks credentials, environment, start, stop, url",
        ),
        (registry.DEMOS, "math:pi", "math:pi cannot be called"),
    ],
)
def test_what_an_entry_point_names_must_be_what_its_group_is_for(package, group, value, said):
    half = (
        "from router.venue import Spec\n\nclass Half:\n    declared = Spec(title='', docs_url='', cancel_kinds=set())\n"
    )
    package("odd", f"[{group}]\nodd = {value}\n", half_venue=half)
    with pytest.raises(VenueError) as caught:
        registry.load(group, "odd")
    assert caught.value.text == said


def test_what_an_adapter_says_of_its_credentials_is_a_value_error_without_them(package):
    package("other", "[router.adapters]\nother = other_venue:Other\n", other_venue=OTHER)
    with pytest.raises(ValueError, match=r"^KeyError: 'OTHER_PASSWORD'$"):
        registry.from_environ("other", {})
    with pytest.raises(ValueError, match=r"^OSError: no such file: \[redacted\]$") as caught:
        registry.from_environ("other", {"OTHER_PASSWORD": "hunter2-hunter2"})
    assert caught.value.__suppress_context__  # where it stands as it was


def test_a_name_that_two_packages_claim_is_given_to_neither(package):
    package("imposter", "[router.adapters]\nqfex = imposter:Qfex\n", imposter="class Qfex: pass\n")
    claims = r"imposter 1\.0 \(imposter:Qfex\), venue-router [\d.]+ \(adapters\.qfex:Qfex\)"
    with pytest.raises(VenueError, match=f"qfex: claimed by several packages: {claims}"):
        registry.adapter("qfex")
    assert registry.adapter("dmex").declared.title == "dmex"


def test_nothing_is_imported_before_it_is_asked_for():
    script = """
        import sys
        from router import registry
        assert "adapters" not in sys.modules
        registry.adapter("dmex")
        assert "adapters.dmex" in sys.modules
        assert not {"adapters.qfex", "adapters.b2trader", "adapters.dmex.simulator", "aiohttp"} & sys.modules.keys()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)  # noqa: S603 - ours
