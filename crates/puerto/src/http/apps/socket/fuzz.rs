//! What holds of every message of a page.

use super::{Value, Wish, json, said};

/// Panics where something does not hold.
pub(crate) fn holds(text: &[u8]) {
    let wish = Wish::read(text);
    if let Err(why) = &wish {
        let told = said("error", json!({ "details": why })).whole();
        let told: Value = serde_json::from_slice(&told).expect("what a page is told is JSON");
        return assert_eq!(told["data"]["details"], **why);
    }
    // serde_json builds no tree deeper than 128. What is too deep for a frame is refused by the call.
    let Ok(read) = serde_json::from_slice::<Value>(text) else { return };
    match wish {
        Ok(Wish::Call { wanted, correlation_id }) => {
            assert_eq!(read["type"], "tool_call");
            assert_eq!(read["message_id"], correlation_id);
            assert_eq!(read["data"]["tool_name"], *wanted.tool_name);
            if let Some(arguments) = wanted.arguments {
                let (raw, value) = (arguments.get(), &read["data"]["arguments"]);
                assert!(text.windows(raw.len()).any(|part| part == raw.as_bytes()), "not as it came: {raw}");
                assert_eq!(serde_json::from_str::<Value>(raw).ok().as_ref(), Some(value));
            }
        }
        Ok(Wish::State) => assert_eq!(read["type"], "app_ready"),
        Ok(Wish::Pong) => assert_eq!(read["type"], "ping"),
        Err(_) => {}
    }
}
