"""The translation function of Slicer, or none outside of it."""

try:
    from slicer.i18n import tr as _
except ImportError:

    def _(text):
        """Give the text back: there is nobody to translate it."""
        return text


__all__ = ["_"]
