from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import (
    HIDDEN,
    AlertsConfig,
    Config,
    ConfigError,
    EmailConfig,
    HttpConfig,
    IngestionConfig,
    LogConfig,
    MqttConfig,
    PluginsConfig,
    TelemetryConfig,
    load,
    printed,
)
from broker.plugins.ports import Mode

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
ports = st.integers(0, 65_535)
positive = st.integers(1, 2**31)
options = st.recursive(
    texts | st.integers(-(2**31), 2**31) | st.booleans() | st.floats(allow_nan=False) | st.dates() | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
configs = st.builds(
    Config,
    data=texts,
    mqtt=st.builds(MqttConfig, host=texts, port=ports, plain_port=st.none() | ports),
    plugins=st.builds(
        PluginsConfig,
        mode=st.just(Mode.NARROW),
        amqtt_config=texts,
        answer_timeout_s=st.floats(0.1, 100),
        classes=st.dictionaries(texts, st.dictionaries(texts, options, max_size=3), max_size=3),
    ),
    http=st.builds(
        HttpConfig,
        host=texts,
        port=ports,
        trust_port=st.none() | ports,
        enrolment_port=st.none() | ports,
        knock_port=st.none() | ports,
        names=st.lists(texts, max_size=3).map(tuple),
        body_limit_bytes=positive,
    ),
    ingestion=st.builds(
        IngestionConfig, commit_interval_ms=st.integers(0, 10_000), answer_interval_ms=st.integers(0, 10_000)
    ),
    telemetry=st.builds(TelemetryConfig, seal_after_ms=positive),
    alerts=st.builds(AlertsConfig, cooldown_ms=st.integers(0, 10_000)),
    email=st.builds(EmailConfig, server=texts, username=texts, password_file=texts.map(lambda text: f"/run/{text}")),
    log=st.builds(LogConfig, level=st.sampled_from(["debug", "info", "warning", "error"])),
)

OTHER_WORDS = {
    "drop_when_full": "false",
    "memory_mb": "700",
    "parquet": "true",
    "knocking": "false",
    "retained_source_check": "false",
    "security": "tls",
    "level": "debug",
    "mode": "narrow",
    "aws_limits": "enforce",
    "queue_bytes": "7000000",
    "unsent_bytes": "7000000",
    "unsent_bytes_of_all": "90000000",
}
"""What keys are set to that cannot be 7."""
SECTIONS = [name for name in Config.__struct_fields__ if isinstance(getattr(Config(), name), msgspec.Struct)]


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def loaded(file: Path, text: str, **environment: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file, environment)


def refusal(file: Path, text: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(file, text, **environment)
    return str(caught.value)


def keys() -> Iterator[tuple[str, str, Any]]:
    for section in SECTIONS:
        struct = getattr(Config(), section)
        for key in struct.__struct_fields__:
            # A section within a section has a test of its own.
            if not isinstance(getattr(struct, key), msgspec.Struct):
                yield section, key, getattr(struct, key)


@pytest.fixture(scope="module", name="printed_file")
def _printed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "printed.toml"


@settings(deadline=None, max_examples=40)
@given(configs)
def test_what_is_printed_is_a_settings_file_that_says_the_same(printed_file: Path, config: Config) -> None:
    assert loaded(printed_file, printed(config)) == config


@pytest.mark.parametrize(
    "option",
    [
        "secret_key = 'very secret'",
        "PASSWORD = 'very secret'",
        "passwords = { maria = 'very secret' }",
        "login = { pwd = 'very secret' }",
        "address = 'https://maria:very secret@home@db/users'",
        "api-token = ['very secret']",
        "connection = 'postgresql://maria:very secret@db/users'",
        "servers = [{ credentials = { name = 'maria', token = 'very secret' } }]",
    ],
)
def test_secrets_among_the_options_of_plugins_are_not_printed(file: Path, option: str) -> None:
    config = loaded(file, f"[plugins.classes.'my.Plugin']\n{option}\npassword_file = 'a file'\nname = 'Maria'")
    shown = printed(config)
    assert "very secret" not in shown
    assert HIDDEN in shown
    assert 'password_file" = "a file"' in shown
    assert '"Maria"' in shown


@settings(deadline=None, max_examples=20)
@given(configs)
def test_what_is_printed_names_files_of_secrets_and_holds_none(printed_file: Path, config: Config) -> None:
    printed_file.write_text("very secret", encoding="utf-8")
    config = msgspec.structs.replace(
        config, email=msgspec.structs.replace(config.email, password_file=str(printed_file))
    )
    shown = printed(config)
    assert "very secret" not in shown
    assert str(printed_file) in shown


def test_no_setting_holds_a_secret_itself() -> None:
    named = [key for _, key, _ in keys() if any(word in key for word in ("password", "secret", "token", "private"))]
    # Where a secret lies, the port where others show theirs, and the label of a piece of hardware are none.
    assert [key for key in named if not key.endswith(("_file", "_port")) and key != "pkcs11_token"] == []


@pytest.mark.parametrize(("section", "key", "value"), [each for each in keys() if not isinstance(each[2], dict)])
def test_the_environment_overrides_every_key(file: Path, section: str, key: str, value: Any) -> None:
    text = OTHER_WORDS.get(key, "10.0.0.0,10.0.0.1" if isinstance(value, tuple) else "7")
    together = [f"HEADWORKS__CA__{needed}" for needed in ("PKCS11_MODULE", "PKCS11_TOKEN", "PIN_FILE")]
    environment = dict.fromkeys(("HEADWORKS__EMAIL__PASSWORD_FILE", *(together if section == "ca" else ())), text)
    environment[f"HEADWORKS__{section}__{key}".upper()] = text
    found = getattr(getattr(loaded(file, "", **environment), section), key)
    if isinstance(value, tuple):
        assert found == ("10.0.0.0", "10.0.0.1")
    else:
        assert str(found).removesuffix(".0").lower() == text.lower()


def test_a_list_in_the_environment_stands_between_commas(file: Path) -> None:
    assert loaded(file, "", HEADWORKS__HTTP__NAMES=" gateway.local , 10.0.0.1,").http.names == (
        "gateway.local",
        "10.0.0.1",
    )
    assert loaded(file, "[http]\nnames = ['a']", HEADWORKS__HTTP__NAMES="").http.names == ()


def test_names_and_values_in_the_environment_stand_between_commas(file: Path) -> None:
    told = {"HEADWORKS__TELEMETRY__KEEP_DAYS_OF_TYPES": "camera=7, heat pump = 30"}
    assert loaded(file, "", **told).telemetry.keep_days_of_types == {"camera": 7, "heat pump": 30}
    with pytest.raises(ConfigError, match="keep_days_of_types"):
        loaded(file, "", HEADWORKS__TELEMETRY__KEEP_DAYS_OF_TYPES="camera")


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(file: Path) -> None:
    config = loaded(file, "[mqtt]\nport = 1\nhost = 'a'\n", HEADWORKS__MQTT__PORT="2", PATH="/bin")
    assert (config.mqtt.port, config.mqtt.host, config.http.port) == (2, "a", 8443)
    assert loaded(file, "", HEADWORKS__DATA="elsewhere").data == "elsewhere"


def test_without_a_file_the_defaults_are_in_force() -> None:
    assert load(None, {}) == Config()
    assert load(None, {"HEADWORKS__LOG__LEVEL": "debug"}).log.level == "debug"


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_key_is_named_with_its_file_and_section(file: Path, section: str) -> None:
    message = refusal(file, f"[{section}]\nprot = 1")
    assert str(file) in message
    assert "`prot`" in message
    assert section in message


def test_an_unknown_section_and_an_unknown_override_are_named(file: Path) -> None:
    assert "`mtqq`" in refusal(file, "[mtqq]\nport = 1")
    message = refusal(file, "", HEADWORKS__MQTT__PROT="1")
    assert "`prot`" in message
    assert f"{file} and the environment" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[mqtt]\nport = 70000", ("65535", "mqtt.port")),
        ("[mqtt]\nport = -1", (">= 0", "mqtt.port")),
        ("[mqtt]\nport = 'many'", ("int", "mqtt.port")),
        ("mqtt = 3", ("object", "mqtt")),
        ("[ingestion]\nbatch_messages = 0", (">= 1", "ingestion.batch_messages")),
        ("[email]\nsecurity = 'ssl'", ("email.security", "'ssl'", "starttls, tls or none")),
        ("[email]\nusername = 'maria'", ("email.username", "password_file")),
        ("[log]\nlevel = 'loud'", ("log.level", "'loud'", "debug, info, warning or error")),
        ("[plugins]\nmode = 'all'", ("'all'", "plugins.mode")),
        ("[plugins]\nmode = 'both'", ("'both'", "no plugin is configured")),
        ("[plugins]\nguest_filters = ['a#']", ("plugins.guest_filters", "'a#'")),
        ("[plugins]\nanswer_timeout_s = 0", ("plugins.answer_timeout_s",)),
        ("[plugins.classes]\n'my.Plugin' = 1", ("plugins.classes", "object")),
        ("[mqtt\nport = 1", ("not TOML", "line 1")),
        ("[http]\nport = 'off'", ("int", "http.port")),
    ],
)
def test_what_is_wrong_is_said_with_the_key_and_what_was_expected(
    file: Path, text: str, words: tuple[str, ...]
) -> None:
    message = refusal(file, text)
    for word in (str(file), *words):
        assert word in message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})
    (tmp_path / "latin.toml").write_bytes(b"data = '\xe9'")
    with pytest.raises(ConfigError, match="not TOML"):
        load(tmp_path / "latin.toml", {})


@pytest.mark.parametrize("text", ["mqtt = 3", "data = 'var'", ""])
def test_an_override_of_what_is_no_section_is_named(file: Path, text: str) -> None:
    name = "HEADWORKS__DATA__PLACE" if "data" in text else "HEADWORKS__MQTT__PORT__NUMBER"
    environment = {"HEADWORKS__MQTT__PORT": "1", name: "1"}
    message = refusal(file, text, **environment)
    assert "HEADWORKS__" in message
    assert "is not a section" in message


def test_a_port_is_switched_off_by_a_word_in_the_file_and_in_the_environment(file: Path) -> None:
    assert loaded(file, "[http]\ntrust_port = 'off'").http.trust_port is None
    assert loaded(file, "", HEADWORKS__HTTP__TRUST_PORT="off").http.trust_port is None
    assert loaded(file, "[email]\nserver = 'off'").email.server == "off"
    assert 'trust_port = "off"' in printed(loaded(file, "[http]\ntrust_port = 'off'"))


def test_the_data_folder_is_absolute() -> None:
    assert Config(data="var").data_folder == Path.cwd() / "var"
    assert Config(data="/var/lib/headworks").data_folder == Path("/var/lib/headworks")
