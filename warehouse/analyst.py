"""Analysts' own questions: one SELECT against the warehouse, within limits, and on record.

A question is answered in a process of its own (`analyst_process.py`) from a copy of the catalogue
(`analyst_catalogue.py`), so that nothing it does reaches the console, and its limits are the
operating system's. As many run at once as the limits say, as many again four times wait, and who
comes then is told.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warehouse import audit, usage
from warehouse.analyst_answers import Answer, Answers, frame_of
from warehouse.analyst_brief import Brief, Reply
from warehouse.analyst_catalogue import Copies, Copy
from warehouse.analyst_errors import (
    Broken,
    Cancelled,
    NoSuchAnswer,
    NotForAsking,
    NotForYou,
    QuestionError,
    TooManyQuestions,
    TooMuchMemory,
    TooSlow,
    TooWide,
    WrongQuestion,
)
from warehouse.analyst_hints import hint_of, plain_message
from warehouse.analyst_pool import Pool
from warehouse.analyst_question import Limits, Question
from warehouse.analyst_rules import TEXT_MOST
from warehouse.analyst_source import Source
from warehouse.clock import Clock
from warehouse.people import Person
from warehouse.store import Store

WAITING_PER_RUNNING = 4
"""So many questions wait for each that may run."""
KEPT_ENDED = 200
"""Questions whose end is remembered for whoever asked."""
TEXT_ON_RECORD = 2_000
"""Characters of a question in the audit."""

log = logging.getLogger(__name__)


class Analyst:
    """Answers questions; safe to share between threads."""

    def __init__(
        self, store: Store, source: Source, folder: Path, clock: Clock, wall: Clock, limits: Limits
    ) -> None:
        """`folder` is for copies and answers, `clock` dates the audit, `wall` the data."""
        self.limits = limits
        self._store, self._source, self._clock = store, source, clock
        self._copies = Copies(store, source.data, folder, wall)
        self._answers = Answers(folder)
        self._pool = Pool(source.extensions, source.variables)
        self._turns = threading.Condition()
        self._running = self._waiting = 0
        self._questions: dict[str, Question] = {}

    # -- asking --------------------------------------------------------------------

    def ask(self, sql: str, person: Person, address: str | None = None) -> Answer:
        """The answer to a question, waited for.

        Raises:
            QuestionError: there is none; the sentence says why and what to do.
        """
        question = self._noted(sql, person, address)
        self._run(question)
        if question.error is not None:
            raise question.error
        assert question.answer is not None
        return question.answer

    def begin(self, sql: str, person: Person, address: str | None = None) -> Question:
        """Ask without waiting; `question.ended` is set when it has."""
        question = self._noted(sql, person, address)
        threading.Thread(target=self._run, args=(question,), name="question", daemon=True).start()
        return question

    def question(self, question_id: str, person: Person) -> Question:
        """A question, for whoever asked.

        Raises:
            NoSuchAnswer: it is not remembered, or somebody else asked.
        """
        found = self._questions.get(question_id)
        if found is None or found.person.name != person.name:
            raise NoSuchAnswer("This question is not remembered any more: run it again.")
        return found

    def cancel(self, question_id: str, person: Person) -> None:
        """End a question that waits or runs.

        Raises:
            NoSuchAnswer: it is not remembered, or somebody else asked.
        """
        question = self.question(question_id, person)
        with self._turns:
            question.is_cancelled = True
            self._turns.notify_all()
        if question.answerer is not None:
            question.answerer.cancel()

    def warm(self) -> None:
        """Get ready for a question: a process that waits, and a copy of the catalogue."""
        self._pool.warm()
        threading.Thread(target=self._warm_copy, name="warm", daemon=True).start()

    def names(self) -> tuple[str, ...]:
        """The tables and views that can be asked."""
        return self._copies.current().names

    # -- what came of it -----------------------------------------------------------

    def answer(self, answer_id: str, person: Person) -> Answer:
        """An answer that is kept, for whoever asked.

        Raises:
            NoSuchAnswer: it is not kept any more, or somebody else asked.
        """
        return self._answers.of(answer_id, person.name)

    @property
    def answers(self) -> Answers:
        """The rows of the answers that are kept."""
        return self._answers

    def close(self) -> None:
        """End what runs, and take copies and answers away."""
        with self._turns:
            open_ones = [each for each in self._questions.values() if not each.ended.is_set()]
            for question in open_ones:
                question.is_cancelled = True
            self._turns.notify_all()
        for question in open_ones:
            if question.answerer is not None:
                question.answerer.cancel()
            question.ended.wait(5.0)
        self._pool.close()
        self._copies.close()
        self._answers.close()

    # -- how -----------------------------------------------------------------------

    def _noted(self, sql: str, person: Person, address: str | None) -> Question:
        usage.note("sql_question", "/sql")
        question = Question(uuid.uuid4().hex, sql, person, address)
        with self._turns:
            self._questions[question.question_id] = question
            ended = [key for key, each in self._questions.items() if each.ended.is_set()]
            for key in ended[:-KEPT_ENDED]:
                del self._questions[key]
        return question

    def _run(self, question: Question) -> None:
        try:
            self._check(question)
            with self._turn(question):
                question.answer = self._answered(question)
        except QuestionError as error:
            question.error = error
        except Exception:
            log.exception("a question could not be answered")
            question.error = Broken("The console could not answer it; its log says why.")
        finally:
            self._put_on_record(question)
            question.ended.set()
            self._pool.warm()

    def _check(self, question: Question) -> None:
        person, sql = question.person, question.sql
        if not person.may(self.limits.role):
            raise NotForYou(
                f"Asking takes the role {self.limits.role}, and {person.name} is {person.role}. "
                "Ask an admin for it."
            )
        if not sql.strip():
            raise WrongQuestion("There is no question yet.", "Begin with an example.")
        if "\0" in sql or sql != sql.encode("utf-8", "replace").decode():
            raise NotForAsking("The question holds a character that is none: type it anew.")
        if len(sql) > TEXT_MOST:
            raise NotForAsking(
                f"The question has {len(sql):,} characters; it may have {TEXT_MOST:,}."
            )

    @contextmanager
    def _turn(self, question: Question) -> Iterator[None]:
        """Wait for a place to run in, not for ever."""
        limits = self.limits
        with self._turns:
            if self._waiting >= WAITING_PER_RUNNING * limits.at_once:
                raise TooManyQuestions(
                    f"{self._running} questions are being answered and {self._waiting} wait: "
                    "try again in a moment."
                )
            self._waiting += 1
            try:
                is_free = self._turns.wait_for(
                    lambda: question.is_cancelled or self._running < limits.at_once, limits.seconds
                )
            finally:
                self._waiting -= 1
            if question.is_cancelled:
                raise Cancelled("The question was taken back.")
            if not is_free:
                raise TooManyQuestions(
                    f"It waited {limits.seconds:g} s for others to end: try again in a moment."
                )
            self._running += 1
        try:
            yield
        finally:
            with self._turns:
                self._running -= 1
                self._turns.notify_all()

    def _answered(self, question: Question) -> Answer:
        copy = self._copies.current()
        reply = self._replied(question, copy)
        if reply.outcome == "stale":  # files were merged away since the copy was made
            copy = self._copies.current(is_fresh=True)
            reply = self._replied(question, copy)
        if reply.outcome != "answered":
            raise self._error_of(reply, copy, question)
        frame = frame_of(reply.rows)
        answer = Answer(
            answer_id=question.question_id,
            sql=question.sql,
            asked_by=question.person.name,
            file=Path(),
            schema=dict(frame.schema),
            row_count=frame.height,
            cut=reply.cut,
            took_seconds=reply.took_seconds,
            waited_seconds=question.age_seconds,
            data_at=copy.made_at,
        )
        return self._answers.keep(frame, answer)

    def _replied(self, question: Question, copy: Copy) -> Reply:
        question.answerer = self._pool.take()
        question.begun.set()
        if question.is_cancelled:
            question.answerer.cancel()
        source, limits = self._source, self.limits
        brief = Brief(
            sql=question.sql,
            names=copy.names,
            catalogue=str(copy.file),
            data=source.data,
            folders=copy.folders,
            rows=limits.rows,
            memory_megabytes=limits.memory_megabytes,
            seconds=limits.seconds,
            fleet_at=self._clock.now().isoformat(),
            statements=source.statements,
            readable=source.readable,
            ports=source.ports,
        )
        try:
            return question.answerer.ask(brief)
        except TooSlow as error:
            raise TooSlow(
                f"It took longer than the {limits.seconds:g} s that a question may."
            ) from error

    def _error_of(self, reply: Reply, copy: Copy, question: Question) -> QuestionError:
        if reply.outcome == "refused":
            return NotForAsking(reply.message)
        if reply.outcome == "too_wide":
            return TooWide(reply.message)
        if reply.outcome == "too_much_memory":
            return TooMuchMemory(
                f"It needed more than the {self.limits.memory_megabytes:,} MB that a question may."
            )
        if reply.outcome == "stale":
            return Broken("Files that it reads were merged away twice meanwhile.")
        message = plain_message(reply.message)
        return WrongQuestion(message, hint_of(message, copy.names, question.sql))

    def _put_on_record(self, question: Question) -> None:
        """Who asked what and what came of it: whose text was asked is what an audit is for."""
        person, answer = question.person, question.answer
        outcome = type(question.error).__name__ if question.error else "Answered"
        digest = hashlib.sha256(question.sql.encode("utf-8", "replace")).hexdigest()
        try:
            audit.record(
                self._store,
                person.name,
                "question.ask",
                digest[:16],
                via="browser" if person.via == "browser" else "api",
                at=self._clock.now(),
                address=question.address,
                detail={
                    "text": question.sql[:TEXT_ON_RECORD],
                    "sha256": digest,
                    "outcome": outcome,
                    "rows": answer.row_count if answer else 0,
                    "took_seconds": round(question.age_seconds, 3),
                },
            )
        except Exception:
            log.exception("a question of %s is not on record", person.name)

    def _warm_copy(self) -> None:
        try:
            self._copies.current()
        except Exception:
            log.exception("the catalogue could not be copied for questions")
