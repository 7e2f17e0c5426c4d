//! Weeks of readings made from a seed: what is ordinary raises next to no alarm, what is not is found.

use super::*;

const EACH_MS: i64 = 10_000;
const DAY: usize = 8_640;

fn week() -> usize {
    7 * DAY
}

/// Numbers that are the same each time (Steele, Lea and Flood, SplitMix).
struct Dice(u64);

impl Dice {
    fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Near enough to normal.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.even()).sum::<f64>() - 6.0
    }
}

/// What a measure is like by day and by night, at week-ends and in between, with noise that hangs together and single
/// readings far out, as there are.
fn readings(measure: Measure, seed: u64, weeks: usize) -> Vec<f64> {
    let mut dice = Dice(seed);
    let (mut wander, mut extra) = (0.0, Burst::default());
    (0..weeks * week())
        .map(|at| {
            let day = (at % DAY) as f64 / DAY as f64;
            let is_week_end = at / DAY % 7 >= 5;
            let busy = 0.5 - 0.5 * (day * std::f64::consts::TAU).cos();
            let busy = if is_week_end { busy * 0.4 } else { busy };
            wander = wander * 0.98 + dice.normal() * 0.02;
            let is_odd = dice.even() < 0.002;
            match measure {
                Measure::Latency => {
                    let usual = 40.0 * (1.0 + 0.6 * busy) * (0.15 * dice.normal() + wander).exp();
                    if is_odd { usual * 8.0 } else { usual }
                }
                Measure::ErrorRate => {
                    let usual = (0.005 + 0.003 * dice.normal()).max(0.0);
                    if is_odd { 0.3 } else { usual }
                }
                Measure::Throughput => (20.0 + 200.0 * busy) * (0.1 * dice.normal() + wander).exp(),
                Measure::QueueDepth => (busy * 3.0 + dice.normal()).max(0.0).floor(),
                Measure::Memory => {
                    // A heap that is tidied up every few minutes, what is kept of each day's work, and for an hour now and
                    // then a browser. On Wednesdays it is started anew.
                    let tidied = (at % 23) as f64 / 23.0;
                    let age = (at + 4 * DAY) % week();
                    let kept = (age.min(6 * DAY) as f64 / DAY as f64) * 12.0 + 20.0 * busy;
                    let started = (age as f64 / 360.0).min(1.0);
                    extra.step(&mut dice, 0.000_2 * busy, 360, 150.0);
                    let usual = (90.0 + kept) * started.max(0.4) * (1.0 + 0.7 * tidied) + extra.high;
                    usual * MEBIBYTE * (0.02 * dice.normal() + 0.2 * wander).exp()
                }
                Measure::Cpu => {
                    // Next to nothing, and bursts that last for seconds or for minutes.
                    extra.step(&mut dice, 0.01 * busy, 20, 1.0);
                    let idle = 0.002 + 0.004 * dice.even();
                    if is_odd { 3.0 } else { (idle + extra.high * (0.7 + 0.1 * dice.normal())).max(0.0) }
                }
            }
        })
        .collect()
}

/// Work that comes now and then, and lasts for a while.
#[derive(Default)]
struct Burst {
    high: f64,
    left: usize,
}

impl Burst {
    fn step(&mut self, dice: &mut Dice, share: f64, usual_length: usize, usual_height: f64) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.high = 0.0;
        }
        if self.left == 0 && dice.even() < share {
            self.left = (usual_length as f64 * (0.2 + 1.6 * dice.even())) as usize;
            self.high = usual_height * (0.3 + 0.7 * dice.even());
        }
    }
}

const MEASURES: [Measure; 6] = [
    Measure::Latency,
    Measure::ErrorRate,
    Measure::Throughput,
    Measure::QueueDepth,
    Measure::Memory,
    Measure::Cpu,
];

/// Readings at which an alarm begins.
fn alarms(detector: &mut Detector, values: &[f64], from: usize) -> Vec<usize> {
    let mut is_on = false;
    let mut begun = Vec::new();
    for (at, value) in values.iter().enumerate() {
        let time = (from + at) as i64 * EACH_MS;
        let judged = detector.take(time, *value).is_some_and(|judged| judged.anomalous);
        if judged && !is_on {
            begun.push(at);
        }
        is_on = judged;
    }
    begun
}

#[test]
fn three_ordinary_weeks_raise_next_to_no_alarm() {
    for measure in MEASURES {
        for seed in [1, 2] {
            let mut detector = Detector::new(measure);
            let begun = alarms(&mut detector, &readings(measure, seed, 3), 0);
            assert!(begun.len() <= 1, "{measure:?} {seed}: {begun:?}");
        }
    }
}

/// A detector that has seen two weeks, and the third.
fn learnt(measure: Measure) -> (Detector, Vec<f64>) {
    let mut all = readings(measure, 7, 3);
    let third = all.split_off(2 * week());
    let mut detector = Detector::new(measure);
    alarms(&mut detector, &all, 0);
    (detector, third)
}

#[test]
fn what_is_out_of_the_ordinary_is_found_soon() {
    let begin = DAY + DAY / 3;
    // What happens, of what, and after how many readings it must have been found.
    type Happens = fn(usize, f64) -> f64;
    let cases: [(&str, Measure, Happens, usize); 10] = [
        ("a spike of five minutes", Measure::Latency, |at, x| if at < 30 { x * 12.0 } else { x }, 6),
        ("a step", Measure::Latency, |_, x| x * 6.0, 6),
        ("a drop to nothing", Measure::Throughput, |_, _| 0.0, 6),
        ("every fifth fails", Measure::ErrorRate, |_, x| x + 0.2, 6),
        ("calls pile up", Measure::QueueDepth, |at, x| x + at as f64, 120),
        (
            "three percent more each hour",
            Measure::Latency,
            |at, x| x * 1.03_f64.powf(at as f64 / 360.0),
            4 * DAY,
        ),
        ("memory doubles in an hour", Measure::Memory, |at, x| x * 2.0_f64.powf(at as f64 / 360.0), 600),
        ("memory doubles in six hours", Measure::Memory, |at, x| x * 2.0_f64.powf(at as f64 / 2160.0), 3_600),
        ("three times the memory from one moment on", Measure::Memory, |_, x| x * 3.0, 60),
        ("it turns in circles on two cores", Measure::Cpu, |_, x| x.max(2.0), 31),
    ];
    for (name, measure, happens, within) in cases {
        let (mut detector, mut values) = learnt(measure);
        for (at, value) in values.iter_mut().enumerate().skip(begin) {
            *value = happens(at - begin, *value);
        }
        let begun = alarms(&mut detector, &values, 2 * week());
        let found = begun.first().map(|at| at.checked_sub(begin));
        assert!(found.flatten().is_some_and(|after| after <= within), "{name}: {begun:?} {begin}");
    }
}

#[test]
fn a_heap_that_is_tidied_up_and_doubles_in_an_hour_is_found_within_it() {
    let heap = |at: usize| (80.0 + 40.0 * (at % 19) as f64 / 19.0) * MEBIBYTE;
    let mut detector = Detector::new(Measure::Memory);
    let usual: Vec<_> = (0..2 * DAY).map(heap).collect();
    assert_eq!(alarms(&mut detector, &usual, 0), [0; 0]);
    let leak: Vec<_> = (0..720).map(|at| heap(at) * 2.0_f64.powf(at as f64 / 360.0)).collect();
    let begun = alarms(&mut detector, &leak, 2 * DAY);
    assert!(begun.len() == 1 && begun[0] < 360, "{begun:?}");
    let judged = detector.take((2 * DAY + 720) as i64 * EACH_MS, 400.0 * MEBIBYTE).unwrap();
    assert_eq!((judged.basis, judged.anomalous), (Basis::MostOfWeek, true));
    let why = judged.why();
    assert!(why.starts_with("400 MiB is more than 1") && why.contains("the most of the last week"), "{why}");
}

#[test]
fn what_is_taken_may_be_less_or_more_of_next_to_nothing_or_a_burst() {
    let memory = |mib: f64| mib * MEBIBYTE;
    for (measure, usual, then) in [
        // A new process is smaller than one that has worked for long.
        (Measure::Memory, memory(400.0), vec![memory(40.0); 500]),
        (Measure::Memory, memory(2.0), vec![memory(8.0); 500]),
        (Measure::Cpu, 0.001, vec![0.01; 500]),
        // A page is opened for four minutes, again and again.
        (
            Measure::Memory,
            memory(60.0),
            (0..500).map(|at| memory(if at % 100 < 24 { 900.0 } else { 60.0 })).collect(),
        ),
        (Measure::Cpu, 0.001, (0..500).map(|at| if at % 100 < 24 { 2.0 } else { 0.001 }).collect()),
    ] {
        let mut detector = Detector::new(measure);
        assert_eq!(alarms(&mut detector, &vec![usual; 2 * DAY], 0), [0; 0]);
        assert_eq!(alarms(&mut detector, &then, 2 * DAY), [0; 0], "{measure:?} {usual}");
    }
}

#[test]
fn work_that_comes_each_day_is_told_on_the_first_days_only() {
    let mut detector = Detector::new(Measure::Cpu);
    assert_eq!(alarms(&mut detector, &vec![0.001; 3 * DAY], 0), [0; 0]);
    // Two hours each day, where there never was any.
    let values: Vec<_> = (0..14 * DAY).map(|at| if at % DAY < 720 { 0.6 } else { 0.001 }).collect();
    let begun = alarms(&mut detector, &values, 3 * DAY);
    assert!(begun.len() <= 3 && begun.iter().all(|at| *at < 3 * DAY), "{begun:?}");
}

#[test]
fn what_stays_for_long_becomes_ordinary() {
    for (measure, before, after) in
        [(Measure::Latency, 40.0, 400.0), (Measure::Memory, 100.0 * MEBIBYTE, 300.0 * MEBIBYTE)]
    {
        let mut detector = Detector::new(measure);
        assert_eq!(alarms(&mut detector, &vec![before; 3 * week()], 0), [0; 0]);
        let begun = alarms(&mut detector, &vec![after; DAY + 100], 3 * week());
        assert_eq!(begun.len(), 1, "{measure:?}: {begun:?}");
        assert!(!detector.is_on, "{measure:?}");
        let again = alarms(&mut detector, &vec![after; week()], 3 * week() + DAY + 100);
        assert_eq!(again, [0; 0], "{measure:?}");
    }
}

#[test]
fn one_reading_alone_is_no_alarm_and_what_is_over_ends() {
    let mut detector = Detector::new(Measure::Latency);
    let mut values = vec![50.0; 400];
    values[200] = 5000.0;
    assert_eq!(alarms(&mut detector, &values, 0), [0; 0]);
    assert_eq!(alarms(&mut detector, &[500.0; 10], 400), [2]);
    let judged = detector.take(410 * EACH_MS, 500.0).unwrap();
    assert!(judged.anomalous && judged.expected.1 < 110.0 && judged.expected.0 > 20.0, "{judged:?}");
    assert!(judged.why().starts_with("500 ms is outside of 2"), "{}", judged.why());
    for at in 0..ENDS_AFTER {
        let judged = detector.take(i64::from(411 + at) * EACH_MS, 50.0).unwrap();
        assert_eq!(judged.anomalous, at + 1 < ENDS_AFTER);
    }
}

#[test]
fn nothing_is_said_before_it_has_learnt_and_of_work_in_bursts() {
    let mut detector = Detector::new(Measure::Latency);
    for at in 0..i64::from(WARM_UP) {
        assert_eq!(detector.take(at * EACH_MS, if at % 2 == 0 { 1.0 } else { 900.0 }), None);
    }
    assert_eq!(detector.take(i64::MAX / 2, f64::NAN), None);
    let mut bursts = Detector::new(Measure::Throughput);
    let values: Vec<_> = (0..5_000).map(|at| if at % 100 < 20 { 50.0 } else { 0.0 }).collect();
    assert_eq!(alarms(&mut bursts, &values, 0), [0; 0]);
}

#[test]
fn a_snapshot_goes_on_where_it_ended_and_there_is_a_limit() {
    let reading = |at: usize| (TenantId::default(), format!("s{at}"), Measure::Latency);
    let mut detectors = Detectors::default();
    for at in 0..2 * HOUR_READINGS_MIN {
        detectors.take(&reading(0), i64::from(at) * EACH_MS * 4, 50.0);
    }
    let mut again = Detectors::restore(&detectors.snapshot()).unwrap();
    for at in 200..210 {
        assert_eq!(
            again.take(&reading(0), at * EACH_MS * 4, 900.0),
            detectors.take(&reading(0), at * EACH_MS * 4, 900.0)
        );
    }
    for at in 0..=DETECTORS_MAX {
        detectors.take(&reading(at), 0, 1.0);
    }
    assert_eq!(detectors.0.len(), DETECTORS_MAX);
    // What has not been heard of for weeks makes room.
    detectors.take(&reading(DETECTORS_MAX + 1), FORGOTTEN_MS * 2, 1.0);
    assert_eq!(detectors.0.len(), 1);
}
