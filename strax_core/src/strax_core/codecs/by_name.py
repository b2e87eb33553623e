"""Finds a codec by the name that stands in metadata."""

from strax_core.codecs.codec import Codec


def codec_named(name: str) -> Codec:
    """Return the codec of this name, from core or from an installed storage plugin.

    Raises:
        ConfigError: no codec has this name.
        PluginError: its storage plugin is broken, or two claim the name.
    """
    from strax_core.storage_plugins import default_registry

    codec: Codec = default_registry().codec(name).load_target()()
    return codec
