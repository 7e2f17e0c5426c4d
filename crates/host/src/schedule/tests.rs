//! Schedules on an injected clock.

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn parse(cron: &str, zone: &str) -> Schedule {
    Schedule::parse(cron, zone, at("2026-01-01T00:00:00Z")).unwrap()
}

/// The first fires after a moment.
fn fires(cron: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = parse(cron, zone);
    let each = std::iter::successors(schedule.after(at(from)), |last| schedule.after(*last));
    each.take(count).map(|fire| fire.to_string()).collect()
}

#[test]
fn fires_as_written() {
    for (cron, zone, from, expected) in [
        ("0 3 * * *", "UTC", "2026-05-01T03:00:00Z", ["2026-05-02T03:00:00Z", "2026-05-03T03:00:00Z"]),
        ("0 3 * * *", "Asia/Tokyo", "2026-05-01T00:00:00Z", ["2026-05-01T18:00:00Z", "2026-05-02T18:00:00Z"]),
        ("*/15 * * * *", "UTC", "2026-05-01T00:10:00Z", ["2026-05-01T00:15:00Z", "2026-05-01T00:30:00Z"]),
        ("* * * * * *", "UTC", "2026-05-01T00:00:00.4Z", ["2026-05-01T00:00:01Z", "2026-05-01T00:00:02Z"]),
        ("0 9 * * MON", "UTC", "2026-05-01T00:00:00Z", ["2026-05-04T09:00:00Z", "2026-05-11T09:00:00Z"]),
        ("0 0 29 2 *", "UTC", "2026-05-01T00:00:00Z", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
    ] {
        assert_eq!(fires(cron, zone, from, 2), expected, "{cron} {zone}");
    }
}

/// Berlin: on 29 March 2026 02:00 becomes 03:00 (01:00 UTC).
#[test]
fn a_time_that_is_skipped_in_spring_fires_once_that_day() {
    let expected = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
    assert_eq!(fires("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3), expected);
    let hourly = fires("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3);
    assert_eq!(hourly, ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"]);
}

/// Berlin: on 25 October 2026 03:00 becomes 02:00 (01:00 UTC), so 02:30 comes twice.
#[test]
fn a_time_that_comes_twice_in_autumn_fires_once_that_day() {
    let expected = ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
    assert_eq!(fires("30 2 * * *", "Europe/Berlin", "2026-10-23T12:00:00Z", 3), expected);
    let hourly = fires("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3);
    assert_eq!(hourly, ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]);
}

/// A year of ticks, however they fall: each fire is done once, and in its order.
#[test]
fn every_fire_is_done_once_over_both_changes_of_the_clock() {
    for (cron, expected) in [("30 2 * * *", 365), ("0 */6 * * *", 365 * 4), ("15 * * * *", 365 * 24)] {
        let mut timer = Timer::new(parse(cron, "Europe/Berlin"), true, None, at("2026-01-01T00:00:00Z"));
        let (mut now, mut done) = (at("2026-01-01T00:00:00Z"), Vec::new());
        let mut step = 1;
        while now < at("2027-01-01T00:00:00Z") {
            if let Some(due) = timer.due(now) {
                assert!(done.last().is_none_or(|last| *last < due), "{cron}: {due} again");
                done.push(due);
                timer.done(due);
            }
            step = (step * 7) % 1_013 + 1;
            now += SignedDuration::from_secs(step);
        }
        assert_eq!(done.len(), expected, "{cron}");
    }
}

#[test]
fn what_was_missed_is_left_out_or_its_last_is_done() {
    let (stopped, started) = (at("2026-05-01T03:00:00Z"), at("2026-05-04T10:00:00Z"));
    let mut none = Timer::new(parse("0 3 * * *", "UTC"), false, Some(stopped), started);
    assert_eq!(none.due(started), None);
    assert_eq!(none.next(), Some(at("2026-05-05T03:00:00Z")));
    let mut last = Timer::new(parse("0 3 * * *", "UTC"), true, Some(stopped), started);
    assert_eq!(last.due(started), Some(at("2026-05-04T03:00:00Z")));
    assert_eq!(last.due(started), Some(at("2026-05-04T03:00:00Z")), "it is due until it is done");
    last.done(at("2026-05-04T03:00:00Z"));
    assert_eq!((last.due(started), last.next()), (None, Some(at("2026-05-05T03:00:00Z"))));
    // One that never fired has missed nothing.
    assert_eq!(Timer::new(parse("0 3 * * *", "UTC"), true, None, started).due(started), None);
    // A machine that slept: the same as without a hub.
    let woke = at("2026-05-07T12:00:00Z");
    assert_eq!((none.due(woke), none.next()), (None, Some(at("2026-05-08T03:00:00Z"))));
    assert_eq!(last.due(woke), Some(at("2026-05-07T03:00:00Z")));
}

#[test]
fn years_without_a_hub_take_a_moment() {
    let every_second = parse("* * * * * *", "UTC");
    let (then, now) = (at("2020-01-01T00:00:00Z"), at("2026-05-01T00:00:00.5Z"));
    assert_eq!(every_second.last(then, now), Some(at("2026-05-01T00:00:00Z")));
    let yearly = parse("0 0 1 1 *", "UTC");
    assert_eq!(yearly.last(then, now), Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(yearly.last(at("2026-01-01T00:00:00Z"), now), None);
}

#[test]
fn a_clock_that_goes_back_fires_nothing_twice() {
    let mut timer = Timer::new(parse("* * * * *", "UTC"), false, None, at("2026-05-01T00:00:30Z"));
    let due = timer.due(at("2026-05-01T00:01:00Z")).unwrap();
    timer.done(due);
    assert_eq!(timer.due(at("2026-05-01T00:00:10Z")), None);
    assert_eq!(timer.due(at("2026-05-01T00:01:30Z")), None);
    assert_eq!(timer.due(at("2026-05-01T00:02:00Z")), Some(at("2026-05-01T00:02:00Z")));
    // Restarted with a clock that is behind what was done.
    let last = Some(at("2026-05-01T00:02:00Z"));
    let mut again = Timer::new(parse("* * * * *", "UTC"), false, last, at("2026-05-01T00:01:10Z"));
    assert_eq!(again.due(at("2026-05-01T00:02:30Z")), None);
}

#[test]
fn what_is_no_schedule_is_refused() {
    let refused = |cron, zone| Schedule::parse(cron, zone, at("2026-01-01T00:00:00Z")).unwrap_err();
    for cron in ["", "* * * *", "61 * * * *", "every day", "0 0 1 1 * 2030 1"] {
        assert!(matches!(refused(cron, "UTC"), Unfit::Cron(_)), "{cron}: {}", refused(cron, "UTC"));
    }
    assert_eq!(refused("* * * * *", "Europe/Nowhere"), Unfit::Zone);
    assert_eq!(refused("0 0 30 2 *", "UTC"), Unfit::Never);
}
