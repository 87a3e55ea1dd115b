# Copyright (c) 2026 hep.sonic contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests are data: a YAML file whose values may be native expressions becomes one plain dictionary an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.hep.sonic.plugins.plugin_utils.errors import ManifestError
from ansible_collections.hep.sonic.plugins.plugin_utils.evaluate import Templar, evaluate, words
from ansible_collections.hep.sonic.plugins.plugin_utils.origin import origin_of

Manifest = dict[str, Any]

#: The long form of an element of the option ``manifests``.
SOURCE_SPEC: Mapping[str, Mapping[str, Any]] = {
    "src": {"type": "str", "required": True},
    "for_each": {"type": "list", "elements": "raw"},
    "as": {"type": "str", "default": "item"},
    "when": {"type": "bool", "default": True},
}


class Loader(Protocol):
    """What is used of Ansible's DataLoader."""

    def load_from_file(self, file_name: str, *, cache: str, trusted_as_template: bool) -> Any: ...


@dataclass(frozen=True)
class Rendered:
    """A manifest and where it was written, for messages."""

    manifest: Manifest
    source: str


@dataclass(frozen=True)
class ManifestFile:
    """A file, and for which elements it is rendered.

    Args:
        path: Where it lies.
        data: Its content, with expressions.
        elements: One object is made for each; one in all where it is None.
        element: What expressions call the element.
    """

    path: str
    data: Manifest
    elements: Sequence[Any] | None
    element: str


@dataclass(frozen=True)
class Renderer:
    """Renders manifest files with the variables of one host.

    Args:
        loader: Ansible's DataLoader.
        templar: Ansible's Templar.
        find: Returns the path of a manifest file by its name; raises AnsibleError where there is none.
        variables: The variables that expressions may use.
    """

    loader: Loader
    templar: Templar
    find: Callable[[str], str]
    variables: Mapping[str, Any]

    def render(self, sources: Sequence[Any]) -> list[Rendered]:
        """Render every element of the option ``manifests``, in order.

        Raises:
            ManifestError: An element, a file or an expression is wrong; the text names file and key.
        """
        files = [file for source in sources for file in self._read(source)]
        named = sorted({word for file in files for word in words(file.data)})
        values, _failures = evaluate(named, self.variables, self.templar, unknown={file.element for file in files})
        variables = {**self.variables, **values}
        return [rendered for file in files for rendered in self._render_file(file, variables)]

    def _read(self, source: Any) -> Iterator[ManifestFile]:
        if isinstance(source, str):
            source = {"src": source}
        validation = ArgumentSpecValidator(dict(SOURCE_SPEC)).validate(source)
        if validation.error_messages:
            raise ManifestError(f"manifests: {'; '.join(validation.error_messages)}")
        params = validation.validated_parameters
        if not params["when"]:
            return
        try:
            path = self.find(params["src"])
        except AnsibleError as error:
            raise ManifestError(
                f"The manifest file {params['src']!r} does not exist.",
                "Manifest files lie in the role's folder manifests/.",
            ) from error
        try:
            data = self.loader.load_from_file(path, cache="none", trusted_as_template=True)
        except AnsibleError as error:
            raise ManifestError(f"{path} is not valid YAML: {error}") from error
        if not isinstance(data, dict):
            raise ManifestError(f"{path} holds no object.", "A manifest file holds one Kubernetes object.")
        yield ManifestFile(path, data, params["for_each"], params["as"])

    def _render_file(self, file: ManifestFile, variables: Mapping[str, Any]) -> Iterator[Rendered]:
        if file.elements is None:
            yield self._render_object(file.data, variables, file.path)
            return
        for index, element in enumerate(file.elements):
            yield self._render_object(
                file.data, {**variables, file.element: element}, f"{file.path} ({file.element} {index})"
            )

    def _render_object(self, data: Manifest, variables: Mapping[str, Any], source: str) -> Rendered:
        templar = self.templar.copy_with_new_env(available_variables=variables)
        try:
            return Rendered(to_plain(templar.template(data)), source)
        except AnsibleError as error:
            key = next(_failing_keys(templar, data, ""), "")
            raise ManifestError(f"{source}: {key}: {error}") from error


def to_plain(value: Any, key: str = "") -> Any:
    """Return `value` as plain dictionaries, lists and scalars, as JSON has them.

    Raises:
        ManifestError: A value has no JSON form, such as a date that YAML made of an unquoted string.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return {str(name): to_plain(element, f"{key}.{name}" if key else str(name)) for name, element in value.items()}
    if isinstance(value, Sequence):
        return [to_plain(element, f"{key}[{index}]") for index, element in enumerate(value)]
    where = origin_of(value)
    raise ManifestError(
        f"{key} is a {type(value).__name__}{f' ({where})' if where else ''}, which Kubernetes has no form for.",
        "Quote it if it is meant as a string.",
    )


def _failing_keys(templar: Templar, data: Any, key: str) -> Iterator[str]:
    """Yield the keys whose own expression cannot be evaluated."""
    if isinstance(data, Mapping):
        for name, element in data.items():
            yield from _failing_keys(templar, element, f"{key}.{name}" if key else str(name))
    elif isinstance(data, list):
        for index, element in enumerate(data):
            yield from _failing_keys(templar, element, f"{key}[{index}]")
    else:
        try:
            to_plain(templar.template(data))
        except AnsibleError:
            yield key
