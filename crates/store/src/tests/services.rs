//! Services by API: added, replaced and deleted, bounded, and seen by others.

use puerto_core::{Secret, ServiceName};

use super::*;

fn service(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

fn plain(document: &str) -> (String, Option<Secret>) {
    (document.into(), None)
}

#[tokio::test]
async fn a_service_is_added_replaced_and_deleted() {
    for (store, _dir) in each() {
        let (a, web) = (tenant("a"), service("web"));
        let mut marks = vec![store.services_mark().await.unwrap()];
        for (document, secrets, may_replace, became) in [
            (r#"{"v":1}"#, Some(Secret::new("harbour")), false, Saved::Added),
            (r#"{"v":2}"#, None, false, Saved::Present),
            (r#"{"v":3}"#, None, true, Saved::Replaced),
        ] {
            let saved = store.service_save(&a, &web, (document.into(), secrets), may_replace).await.unwrap();
            assert_eq!(saved, became);
            let mark = store.services_mark().await.unwrap();
            assert_eq!(marks.contains(&mark), became == Saved::Present);
            marks.push(mark);
            let kept = store.services_list(&Scope::tenant(a.clone())).await.unwrap();
            assert_eq!(kept[0].has_secrets, became != Saved::Replaced);
            assert_eq!(kept[0].document == document, became != Saved::Present);
            assert!(!format!("{kept:?}").contains("harbour"));
        }
        assert!(store.services_list(&Scope::tenant(tenant("b"))).await.unwrap().is_empty());
        assert!(!store.service_delete(&tenant("b"), &web).await.unwrap());
        assert!(store.service_delete(&a, &web).await.unwrap());
        assert!(!store.service_delete(&a, &web).await.unwrap());
        assert!(!marks[1..].contains(&store.services_mark().await.unwrap()));
    }
}

#[tokio::test]
async fn a_tenant_has_no_more_than_its_share() {
    for (store, _dir) in each() {
        let fill = |db: &mut Db| {
            for n in 0..API_SERVICES_MAX {
                let sql = "INSERT INTO services VALUES ('a', ?1, ?2, '{}', 0, NULL)";
                db.execute(sql, &[&format!("s{n}"), &n])?;
            }
            Ok(())
        };
        store.change(fill).await.unwrap();
        let full = store.service_save(&tenant("a"), &service("more"), plain("{}"), true).await;
        assert!(matches!(full, Err(StoreError::Crowded { limit: API_SERVICES_MAX, .. })), "{full:?}");
        let again = store.service_save(&tenant("a"), &service("s0"), plain("{}"), true).await;
        assert_eq!(again, Ok(Saved::Replaced));
        let other = store.service_save(&tenant("b"), &service("more"), plain("{}"), true).await;
        assert_eq!(other, Ok(Saved::Added));
    }
}
