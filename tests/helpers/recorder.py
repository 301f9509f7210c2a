"""View that keeps the events of a worker for a test."""

from collections.abc import Callable

from search.watch.events import Event, Message


class Recorder:
    """Takes events, keeps them, and may do something on one of them."""

    def __init__(self, react: Callable[[Event], None] = lambda event: None) -> None:
        self.events: list[Event] = []
        self._react = react

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._react(event)

    def messages(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Message)]
