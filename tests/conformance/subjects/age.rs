//! Age (RFC 9111 §4.2.3, §5.1).

use crate::conformance::case::{Case, ok, optimal, required};

pub(crate) fn cases() -> Vec<Case> {
    let aged = |age: &str| ok().cc("max-age=3600").f("age", age);
    let too_old =
        |section, name: &str, age: &str| required(section, name).stored(aged(age)).get().fetched();
    let young = |section, name: &str, age: &str, least: u64| {
        optimal(section, name)
            .stored(aged(age))
            .get()
            .hit()
            .age(least)
    };
    vec![
        too_old("9111 §4.2.3", "an Age of the lifetime", "3600"),
        too_old("9111 §4.2.3", "an Age past the lifetime", "7200"),
        too_old("9111 §1.2.2", "an Age of 2^31", "2147483648"),
        too_old(
            "9111 §1.2.2",
            "an Age past 64 bits",
            "99999999999999999999999",
        ),
        too_old(
            "9111 §5.1",
            "the first of two members is too old",
            "7200, 10",
        ),
        too_old("9111 §1.2.2", "an Age with leading zeros", "0007200"),
        young(
            "9111 §4.2.3",
            "an Age within the lifetime is counted",
            "100",
            100,
        ),
        young(
            "9111 §5.1",
            "the first of two members is young",
            "100, 7200",
            100,
        ),
        young("9111 §5.1", "an Age that is no number is ignored", "old", 0),
        young("9111 §5.1", "a negative Age is ignored", "-10", 0),
        young("9111 §5.1", "a fractional Age is ignored", "7200.5", 0),
        young("9111 §5.1", "an empty Age is ignored", "", 0),
        required("9111 §5.1", "the first of two Age lines is too old")
            .stored(aged("7200").f("age", "10"))
            .get()
            .fetched(),
        required("9111 §4.2.3", "the greater of two ages counts: Date")
            .stored(ok().cc("max-age=60").f("age", "10").f("date", "{now-100}"))
            .get()
            .fetched(),
        required("9111 §4.2.3", "the greater of two ages counts: Age")
            .stored(ok().cc("max-age=60").f("age", "100").f("date", "{now-10}"))
            .get()
            .fetched(),
        required("9111 §4.2.3", "a Date ahead of time hides no Age")
            .stored(ok().cc("max-age=60").f("age", "100").f("date", "{now+500}"))
            .get()
            .fetched(),
        optimal("9111 §4.2.3", "Date makes an apparent age")
            .stored(ok().cc("max-age=3600").f("date", "{now-200}"))
            .get()
            .hit()
            .age(200),
        required("9111 §5.1", "Age is one line of its own")
            .stored(aged("100"))
            .get()
            .hit()
            .see("one Age", |seen| seen.answer.head.lines("age").len() == 1),
        required("9111 §5.1", "what the app has just sent gets no Age")
            .stored(ok().cc("max-age=3600"))
            .lacks("age"),
        optimal("9111 §5.1", "an Age received is passed on")
            .stored(aged("100"))
            .age(100),
        optimal("9111 §4.2.3", "Age grows")
            .stored(aged("100"))
            .get()
            .later()
            .hit()
            .age(102),
        required("9111 §4.2.3", "age received and age since add up")
            .stored(ok().cc("max-age=101").f("age", "100"))
            .get()
            .later()
            .fetched(),
    ]
}
