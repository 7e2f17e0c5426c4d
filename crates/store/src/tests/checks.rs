//! Sums of checks, on each kind of store.

use std::collections::BTreeMap;

use puerto_core::ServiceName;

use super::*;

#[tokio::test]
async fn sums_add_up_by_the_minute_the_hour_and_the_day() {
    for (store, _dir) in each() {
        let key = |of: &str, name: &str| (tenant(of), ServiceName::new(name).unwrap());
        let sum = |good, bad| Sum { good, bad, unknown: 1, total_us: 10 * (good + bad), longest_us: good };
        let hour = Duration::from_secs(3_600);
        let begin = SystemTime::UNIX_EPOCH + 24 * hour * 20_000;
        for at in [begin, begin + Duration::from_secs(30), begin + hour, begin + 26 * hour] {
            let sums = BTreeMap::from([(key("a", "x"), sum(3, 1)), (key("b", "x"), sum(1, 0))]);
            store.checks_add(at, sums).await.unwrap();
        }
        let all = Scope::all();
        let x = key("a", "x");
        let since = async |grain, since| store.checks_since(&all, grain, since).await.unwrap();
        let whole = since(Grain::Day, begin).await[&x];
        assert_eq!(
            (whole.good, whole.bad, whole.unknown, whole.total_us, whole.longest_us),
            (12, 4, 4, 160, 3)
        );
        assert_eq!(whole.uptime(), Some(75.0));
        assert_eq!(since(Grain::Day, begin + 24 * hour).await[&x].good, 3);
        assert_eq!(since(Grain::Hour, begin + hour).await[&x].good, 6);
        assert_eq!(since(Grain::Minute, begin).await[&x].good, 12);
        assert_eq!(since(Grain::Minute, begin + Duration::from_secs(60)).await[&x].good, 6);
        let b = store.checks_since(&Scope::tenant(tenant("b")), Grain::Day, begin).await.unwrap();
        assert_eq!(b.keys().collect::<Vec<_>>(), [&key("b", "x")]);
        let some = [ServiceName::new("x").unwrap(), ServiceName::new("none").unwrap()];
        let of_a = store.checks_of(&tenant("a"), &some, Grain::Day, begin).await.unwrap();
        assert_eq!(of_a, BTreeMap::from([(some[0].clone(), whole)]));
        // From within the first day on, that day counts whole.
        let days = store.checks_by_day(&tenant("a"), &some, begin + hour).await.unwrap();
        let [(name, days)] = &Vec::from_iter(days)[..] else { panic!("one service is kept") };
        let days: Vec<_> = days.iter().map(|(day, sum)| (*day, sum.good, sum.bad)).collect();
        assert_eq!((name, days), (&some[0], vec![(20_000, 9, 3), (20_001, 3, 1)]));
        let later = store.checks_by_day(&tenant("a"), &some, begin + 24 * hour).await.unwrap();
        assert_eq!(later[&some[0]].keys().collect::<Vec<_>>(), [&20_001]);
        assert!(store.checks_by_day(&tenant("b"), &[], begin).await.unwrap().is_empty());
        assert_eq!(whole.average_ms(), Some(0.01));
        // Written as of long ago, all but the days are too old by now.
        assert!(store.checks_trim().await.unwrap() > 0);
        assert!(since(Grain::Minute, begin).await.is_empty());
        assert_eq!((Sum::default().uptime(), Sum::default().average_ms()), (None, None));
    }
}
