//! Missing points are treated as CloudWatch alarms treat them: every cell of the two tables in the User Guide's "Configuring how
//! CloudWatch alarms treat missing data", and the examples in its "Avoiding premature transitions to alarm state".

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use proptest::prelude::*;
use wavegate::engine::health::missing_data::{AlarmDecision, Treatment, evaluate, evaluation_range};

/// As printed: `0` is a point that does not breach, `X` one that does, `-` a missing one, the most recent on the right. Then how many
/// points must be filled in, and the state for MISSING, IGNORE, BREACHING and NOT BREACHING.
type Row = (&'static str, usize, [&'static str; 4]);

const TREATMENTS: [Treatment; 4] =
    [Treatment::Missing, Treatment::Ignore, Treatment::Breaching, Treatment::NotBreaching];

/// Datapoints to Alarm 3, Evaluation Periods 3, evaluation range 5.
const THREE_OF_THREE: [Row; 5] = [
    ("0 - X - X", 0, ["OK", "OK", "OK", "OK"]),
    ("0 - - - -", 2, ["OK", "OK", "OK", "OK"]),
    ("- - - - -", 3, ["INSUFFICIENT_DATA", "Retain current state", "ALARM", "OK"]),
    ("0 X X - X", 0, ["ALARM", "ALARM", "ALARM", "ALARM"]),
    ("- - X - -", 2, ["ALARM", "Retain current state", "ALARM", "OK"]),
];

/// Datapoints to Alarm 2, Evaluation Periods 3, evaluation range 5.
const TWO_OF_THREE: [Row; 5] = [
    ("0 - X - X", 0, ["ALARM", "ALARM", "ALARM", "ALARM"]),
    ("0 0 X 0 X", 0, ["ALARM", "ALARM", "ALARM", "ALARM"]),
    ("0 - X - -", 1, ["OK", "OK", "ALARM", "OK"]),
    ("- - - - 0", 2, ["OK", "OK", "ALARM", "OK"]),
    ("- - - X -", 2, ["ALARM", "Retain current state", "ALARM", "OK"]),
];

fn points(row: &str) -> Vec<Option<bool>> {
    row.split(' ')
        .map(|point| match point {
            "0" => Some(false),
            "X" => Some(true),
            "-" => None,
            other => panic!("{other}"),
        })
        .collect()
}

fn state(decision: AlarmDecision) -> &'static str {
    match decision {
        AlarmDecision::Alarm => "ALARM",
        AlarmDecision::Ok => "OK",
        AlarmDecision::InsufficientData => "INSUFFICIENT_DATA",
        AlarmDecision::Retain => "Retain current state",
    }
}

fn assert_rows(rows: &[Row], m: usize) {
    for (row, filled, states) in rows {
        let range = points(row);
        assert_eq!(range.len(), evaluation_range(3));
        assert_eq!(3_usize.saturating_sub(range.iter().flatten().count()), *filled, "{row}");
        for (treatment, expected) in TREATMENTS.into_iter().zip(states) {
            assert_eq!(state(evaluate(&range, 3, m, treatment)), *expected, "{row}, {m} of 3, {treatment:?}");
        }
    }
}

#[test]
fn the_first_table_of_the_user_guide() {
    assert_rows(&THREE_OF_THREE, 3);
}

#[test]
fn the_second_table_of_the_user_guide() {
    assert_rows(&TWO_OF_THREE, 2);
}

#[test]
fn a_young_breaching_point_among_missing_ones_is_no_alarm_yet() {
    let missing = |row: &str, m| evaluate(&points(row), 3, m, Treatment::Missing);
    // "the alarm does not go immediately into ALARM state when the data is either - - - - X or - - - X - and Datapoints to Alarm is 3"
    assert_ne!(missing("- - - - X", 3), AlarmDecision::Alarm);
    assert_ne!(missing("- - - X -", 3), AlarmDecision::Alarm);
    // "when the next data point is non-breaching and causes the data to be - - - X O or - - X - O"
    assert_eq!(missing("- - - X 0", 3), AlarmDecision::Ok);
    assert_eq!(missing("- - X - 0", 3), AlarmDecision::Ok);
    // "However, if the last few data points are - - X - -, the alarm goes into ALARM state"
    assert_eq!(missing("- - X - -", 3), AlarmDecision::Alarm);
    // "no matter the value of M": with all of the more recent points breaching or missing.
    assert_eq!(missing("- - X X -", 3), AlarmDecision::Alarm);
    assert_eq!(missing("X - - - -", 2), AlarmDecision::Alarm);
}

#[test]
fn periods_that_have_not_been_yet_are_not_missing() {
    for treatment in TREATMENTS {
        assert_eq!(evaluate(&points("0"), 5, 3, treatment), AlarmDecision::Ok, "{treatment:?}");
        assert_eq!(evaluate(&points("X X"), 5, 3, treatment), AlarmDecision::Ok, "{treatment:?}");
        assert_eq!(evaluate(&points("X X X"), 5, 3, treatment), AlarmDecision::Alarm, "{treatment:?}");
    }
    assert_eq!(evaluate(&points("0 -"), 5, 3, Treatment::Breaching), AlarmDecision::Ok);
    assert_eq!(evaluate(&[], 5, 3, Treatment::Missing), AlarmDecision::InsufficientData);
}

fn any_range() -> impl Strategy<Value = Vec<Option<bool>>> {
    proptest::collection::vec(proptest::option::of(any::<bool>()), 0..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Without missing points the treatment is never asked: the newest N decide.
    #[test]
    fn with_every_point_there_all_treatments_agree(range in proptest::collection::vec(any::<bool>(), 1..9), n in 1_usize..6, m in 1_usize..6) {
        let full: Vec<Option<bool>> = range.iter().copied().map(Some).collect();
        let bad = range.iter().rev().take(n).filter(|bad| **bad).count();
        let expected = if bad >= m { AlarmDecision::Alarm } else { AlarmDecision::Ok };
        for treatment in TREATMENTS {
            prop_assert_eq!(evaluate(&full, n, m, treatment), expected);
        }
    }

    /// `breaching` is the strictest and `notBreaching` the laxest of the four.
    #[test]
    fn treatments_are_ordered(range in any_range(), n in 1_usize..6, m in 1_usize..6) {
        prop_assume!(m <= n);
        let alarm = |treatment| evaluate(&range, n, m, treatment) == AlarmDecision::Alarm;
        prop_assert!(!alarm(Treatment::NotBreaching) || alarm(Treatment::Ignore));
        prop_assert!(!alarm(Treatment::Ignore) || alarm(Treatment::Missing));
        prop_assert!(!alarm(Treatment::NotBreaching) || alarm(Treatment::Breaching));
    }
}
