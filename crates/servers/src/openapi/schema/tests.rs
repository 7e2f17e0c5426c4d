//! Schemas of both dialects, before and after.

use super::*;

fn document(version: &str, schemas: &Value) -> Document {
    let text = json!({"openapi": version, "components": {"schemas": schemas}}).to_string();
    Document::parse(text.as_bytes()).unwrap()
}

fn made(version: &str, way: Way, schemas: &Value) -> (Value, bool, Vec<String>) {
    let document = document(version, schemas);
    let (schema, is_over, notices) = build(&document, way, |converter| {
        let Value::Object(schema) = converter.schema(&schemas["It"]) else { panic!("no object") };
        schema
    });
    (Value::Object(schema), is_over, notices)
}

fn input(version: &str, schemas: &Value) -> Value {
    made(version, Way::Input, schemas).0
}

#[test]
fn the_dialect_of_3_0_becomes_json_schema() {
    for (given, expected) in [
        (json!({"type": "string", "nullable": true}), json!({"type": ["string", "null"]})),
        (
            json!({"type": "string", "enum": ["a"], "nullable": true}),
            json!({"type": ["string", "null"], "enum": ["a", null]}),
        ),
        (
            json!({"allOf": [{"type": "object"}], "nullable": true}),
            json!({"anyOf": [{"allOf": [{"type": "object"}]}, {"type": "null"}]}),
        ),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true, "maximum": 5, "exclusiveMaximum": false}),
            json!({"type": "integer", "exclusiveMinimum": 1, "maximum": 5}),
        ),
        (
            json!({"type": "string", "format": "int64", "example": 1, "xml": {}, "x-y": 1, "discriminator": {}, "externalDocs": {}}),
            json!({"type": "string"}),
        ),
        (json!({"type": "string", "format": "date-time"}), json!({"type": "string", "format": "date-time"})),
        (json!({"type": "file"}), json!({})),
        (
            json!({"type": "array", "items": {"type": "number"}, "minItems": 1}),
            json!({"type": "array", "items": {"type": "number"}, "minItems": 1}),
        ),
        (
            json!({"required": ["id", "name"], "properties": {"id": {"type": "integer", "readOnly": true}, "name": {"type": "string"}}}),
            json!({"required": ["name"], "properties": {"name": {"type": "string"}}}),
        ),
        (json!({"required": true, "minimum": "1", "enum": 5, "multipleOf": 0}), json!({})),
    ] {
        assert_eq!(input("3.0.3", &json!({"It": given})), expected, "{given}");
    }
}

#[test]
fn json_schema_of_3_1_stays() {
    for given in [
        json!({"type": ["string", "null"], "const": "x", "exclusiveMinimum": 3, "examples": [1]}),
        json!({"type": "array", "prefixItems": [{"type": "string"}], "items": false}),
        json!({"type": "object", "patternProperties": {"^x": {}}, "propertyNames": {"maxLength": 3}, "additionalProperties": {"type": "string"}}),
        json!({"oneOf": [{"type": "string"}, {"not": {"type": "number"}}]}),
    ] {
        assert_eq!(input("3.1.0", &json!({"It": given})), given);
    }
    assert_eq!(
        input("3.1.0", &json!({"It": {"nullable": true, "type": "string"}})),
        json!({"type": "string"})
    );
}

#[test]
fn references_are_replaced_and_circles_kept_apart() {
    let plain = json!({
        "It": {"$ref": "#/components/schemas/A", "description": "mine", "minLength": 3},
        "A": {"type": "array", "items": {"$ref": "#/components/schemas/B"}, "description": "its own"},
        "B": {"type": "string"},
    });
    assert_eq!(
        input("3.1.0", &plain),
        json!({"type": "array", "items": {"type": "string"}, "description": "mine"})
    );
    let tree = json!({
        "It": {"$ref": "#/components/schemas/Node"},
        "Node": {"type": "object", "properties": {"left": {"$ref": "#/components/schemas/Node"}, "right": {"$ref": "#/components/schemas/Node"}}},
    });
    let node = json!({"type": "object", "properties": {"left": {"$ref": "#/$defs/Node"}, "right": {"$ref": "#/$defs/Node"}}});
    let mut expected = node.clone();
    expected["$defs"] = json!({"Node": node});
    assert_eq!(input("3.0.0", &tree), expected);
    for (reference, why) in [
        ("https://example.com/a.json#/A", "out of the document"),
        ("other.yaml", "out of the document"),
        ("#/components/schemas/Nobody", "nowhere"),
        ("#/components/schemas/It", "circle"),
    ] {
        let (schema, _, notices) = made("3.1.0", Way::Input, &json!({"It": {"$ref": reference}}));
        assert_eq!(schema, json!({}));
        assert!(notices[0].contains(why), "{reference}: {notices:?}");
    }
}

/// Thirty levels, each twice the one before: written out, it would have a billion parts.
#[test]
fn what_would_grow_too_large_is_referred_to() {
    let mut schemas = json!({"It": {"$ref": "#/components/schemas/L0"}});
    for level in 0..30 {
        let next = json!({"$ref": format!("#/components/schemas/L{}", level + 1)});
        schemas[format!("L{level}")] = json!({"type": "object", "properties": {"a": next, "b": next}});
    }
    schemas["L30"] = json!({"type": "string"});
    let (schema, is_over, _) = made("3.1.0", Way::Input, &schemas);
    assert!(!is_over);
    assert_eq!(schema["$ref"], "#/$defs/L0");
    assert_eq!(schema["$defs"].as_object().unwrap().len(), 31);
}

#[test]
fn what_is_too_large_in_any_form_is_left_open() {
    let words: Vec<_> = (0..20_000).map(|n| format!("word {n}")).collect();
    let mut deep = json!({"type": "string"});
    for _ in 0..50 {
        deep = json!({"type": "array", "items": deep});
    }
    for schema in [json!({"type": "string", "enum": words}), deep] {
        let (made, is_over, _) = made("3.1.0", Way::Input, &json!({"It": schema}));
        assert!(is_over && made.to_string().len() < SCHEMA_MAX, "{}", made.to_string().len());
    }
}

#[test]
fn answers_demand_nothing() {
    let given = json!({"It": {
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {
            "a": {"type": "string", "enum": ["x"], "format": "uuid", "description": "words"},
            "b": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            "c": {"type": "string", "writeOnly": true},
        },
    }});
    let (schema, _, _) = made("3.0.0", Way::Output, &given);
    let expected = json!({"type": ["object", "null"], "properties": {
        "a": {"type": ["string", "null"], "description": "words"},
        "b": {"anyOf": [{"anyOf": [{"type": ["string", "null"]}, {"type": ["integer", "null"]}]}, {"type": "null"}]},
    }});
    assert_eq!(schema, expected);
}

/// Each level holds the next one twice: looked at without end, that would be a million million parts.
#[test]
fn parts_of_parts_are_looked_at_for_a_while_only() {
    let mut schemas = json!({"L40": {}});
    for level in 0..40 {
        let next = json!({"$ref": format!("#/components/schemas/L{}", level + 1)});
        schemas[format!("L{level}")] = json!({"allOf": [next, next]});
    }
    let document = document("3.1.0", &schemas);
    assert!(!is_object(&document, &schemas["L0"]));
    assert!(is_object(&document, &json!({"allOf": [{"description": "x"}, {"type": "object"}]})));
    assert!(!is_object(&document, &json!({"type": "object", "nullable": true})));
    assert!(
        made("3.1.0", Way::Input, &json!({"It": {"$ref": "#/components/schemas/L0"}, "L0": schemas["L0"]}))
            .0
            .is_object()
    );
}

#[test]
fn definitions_of_one_name_are_told_apart() {
    let mut schemas = json!({"It": {"type": "object", "properties": {}}});
    for place in ["a", "b", "c"] {
        let own = json!({"$ref": format!("#/components/schemas/{place}/x")});
        schemas[place] = json!({"x": {"type": "object", "properties": {place: own}}});
        schemas["It"]["properties"][place] = own;
    }
    let (schema, ..) = made("3.1.0", Way::Input, &schemas);
    let names: Vec<_> = schema["$defs"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["x", "x_2", "x_3"]);
}
