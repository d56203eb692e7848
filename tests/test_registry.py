"""Entry points: what is installed is found by name, one at a time, and a broken one takes no other down."""

import subprocess
import sys
import textwrap

import pytest

from router import UnknownVenue, VenueError, registry
from router.testing import Simulator
from router.venue import Spec

VENUES = ["b2trader", "dmex", "qfex"]


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


@pytest.mark.parametrize("find", [registry.adapter, registry.simulator])
def test_an_unknown_name_is_refused_naming_the_known_ones(find):
    with pytest.raises(UnknownVenue, match=r"venue was 'mtgox'; known: b2trader, dmex, qfex"):
        find("mtgox")


def test_installed_gives_every_adapter_by_name():
    assert registry.installed() == {name: registry.adapter(name) for name in VENUES}


def test_another_distribution_adds_a_venue(package):
    package("other", "[router.adapters]\nother = other_venue:Other\n", other_venue="class Other: pass\n")
    assert registry.adapter("other").__module__ == "other_venue"
    assert sorted(registry.installed()) == sorted([*VENUES, "other"])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module_at_all\n", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("raise RuntimeError('out of order')\n", "RuntimeError: out of order"),
        ("here is no Python\n", "SyntaxError"),
        ("Another = 1\n", "AttributeError"),
    ],
)
def test_a_broken_entry_point_is_named_with_its_error_and_the_others_work(package, monkeypatch, source, said):
    package("broken", "[router.adapters]\nbroken = broken_venue:Broken\n", broken_venue=source)
    monkeypatch.delitem(sys.modules, "broken_venue", raising=False)
    with pytest.raises(VenueError) as caught:
        registry.adapter("broken")
    assert str(caught.value).startswith(f"broken: broken_venue:Broken cannot be imported: {said}")
    assert caught.value.venue == "broken"
    found = registry.installed()
    assert isinstance(found.pop("broken"), VenueError)
    assert found == {name: registry.adapter(name) for name in VENUES}


def test_a_name_that_two_packages_claim_is_given_to_neither(package):
    package("imposter", "[router.adapters]\nqfex = imposter:Qfex\n", imposter="class Qfex: pass\n")
    with pytest.raises(VenueError, match=r"qfex: claimed by several packages: adapters\.qfex:Qfex, imposter:Qfex"):
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
