"""What a collector says to its window: the newest of a kind, and an answer to each question."""

import os

from app.collectors.speaker import Speaker
from app.models.acts import Outcome
from app.models.wire import Acted, Deframer, Message, Notice, Planned


def said(*messages: Message) -> list[Message]:
    """What comes out of a pipe when all of these were said before it was written to."""
    source, sink = os.pipe()
    speaker = Speaker(sink, gone=lambda: None)
    for message in messages:
        speaker.say(message)
    speaker.start()
    speaker.finish()
    os.close(sink)
    with os.fdopen(source, "rb") as pipe:
        return list(Deframer().feed(pipe.read()))


def test_of_words_on_one_matter_only_the_newest_is_said() -> None:
    assert said(Notice("a", "old"), Notice("b", "other"), Notice("a", "new")) == [
        Notice("b", "other"),
        Notice("a", "new"),
    ]


def test_each_question_gets_its_answer_and_of_one_the_newest() -> None:
    running, done = Acted(3, Outcome(done=1)), Acted(3, Outcome(state="done", done=2))
    plans = [Planned(1, error="no"), Planned(2, error="nor this")]
    assert said(*plans, running, Acted(4, Outcome()), done) == [*plans, Acted(4, Outcome()), done]
