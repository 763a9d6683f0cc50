"""Styles of component classes, which are found once for all widgets."""

# ruff: noqa: SLF001 - see the package

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from textual.css.styles import RenderStyles, RulesMap
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode


class _ComponentStyles(dict[str, RenderStyles]):
    """Styles of the component classes of one widget, each of which is created when it is read."""

    def __init__(self, widget: DOMNode, rules: Mapping[str, RulesMap]) -> None:
        super().__init__()
        self._widget = widget
        self.rules = rules

    def __contains__(self, name: object) -> bool:
        return name in self.rules

    def __missing__(self, name: str) -> RenderStyles:
        component = DOMNode(classes=name)
        component._attach(self._widget)
        component.styles.base._rules.update(self.rules[name])
        component.styles.base._updates += 1
        self[name] = component.styles
        return component.styles


class ComponentStylesheet(Stylesheet):
    """Style sheet that finds the rules of a component class once.

    Textual finds them whenever the styles of a widget are computed, e.g. when the focus moves: for
    a table, in milliseconds. Rules that name a component class and nothing else are the same for
    each widget. If a rule depends on more, e.g. on the parent, the widget gets Textual's styles.
    """

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._found_in: object = None  # the map of rules, which is replaced when sheets are parsed
        self._found: dict[frozenset[str], Mapping[str, RulesMap] | None] = {}
        self._found_before: dict[frozenset[str], Mapping[str, RulesMap] | None] = {}

    def _process_component_classes(self, node: DOMNode) -> None:
        names = node._get_component_classes()
        if not names:
            return
        rules = self._rules_of(names)
        if rules is None:
            super()._process_component_classes(node)
            return
        before = node._component_styles
        if not isinstance(before, _ComponentStyles) or before.rules is not rules:
            node._component_styles = _ComponentStyles(node, rules)
            node.refresh()

    def _rules_of(self, names: frozenset[str]) -> Mapping[str, RulesMap] | None:
        """Return the rules of component classes, or None if they are not the same everywhere."""
        if self._found_in is not self.rules_map:
            self._found_in = self.rules_map
            self._found_before, self._found = self._found, {}
        if names not in self._found:
            rules = [self._find_rules(name) for name in sorted(names)]
            found = None
            if None not in rules:
                found = dict(zip(sorted(names), cast("list[RulesMap]", rules), strict=True))
            before = self._found_before.get(names)
            self._found[names] = before if found == before else found
        return self._found[names]

    def _find_rules(self, name: str) -> RulesMap | None:
        component = DOMNode(classes=name)
        for selector_name in self.rules_map.keys() & component._selector_names:
            for rule in self.rules_map[selector_name]:
                for selector_set in rule.selector_set:
                    *parents, last = selector_set.selectors
                    if parents and last.check(component):
                        return None
        self.apply(component)
        return component.styles.base._rules
