.PHONY: schema

## schema: write api/config.schema.json anew from the definitions
schema:
	UPDATE_EXPECT=1 cargo test -q -p puerto --bin puerto the_committed_schema
