use super::Record;

/// The JSON Schema of one line of NDJSON, as `record.schema.json` beside this code has it.
#[must_use]
pub fn json_schema() -> schemars::Schema {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_deserialize();
    settings.into_generator().into_root_schema_for::<Record>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/record/record.schema.json");

    /// The committed schema is the code's; `SILENTRY_BLESS=1` writes it anew.
    #[test]
    fn the_file_is_the_codes() {
        let text = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
        if std::env::var_os("SILENTRY_BLESS").is_some() {
            std::fs::write(FILE, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(FILE).unwrap(), text, "run the tests with SILENTRY_BLESS=1");
    }

    /// What the code reads keeps the schema, in both spellings of time, and what it refuses does not.
    #[test]
    fn records_keep_it() {
        let validator = jsonschema::validator_for(json_schema().as_value()).unwrap();
        for (line, good) in [
            (r#"{"ts":1767323045006,"model":"m","features":{"a":1.5,"b":"x","c":null,"d":true}}"#, true),
            (
                r#"{"ts":"2026-01-02T03:04:05Z","model":"m","features":{},"feature_status":{"a":"default"},
                "prediction":{"score":0.5,"probabilities":{"good":0.5}},"sampling":0.1}"#,
                true,
            ),
            (r#"{"ts":0,"model":"m","request_id":17,"version":2,"entity":-3,"dims":{"pod":0}}"#, true),
            (r#"{"ts":0,"model":"m","request_id":null}"#, true),
            (r#"{"ts":0,"model":"m","features":{"v":[0.5,null,2]}}"#, true),
            (r#"{"ts":0,"model":"m","request_id":1.5}"#, false),
            (r#"{"ts":0,"model":"m","entity":true}"#, false),
            (r#"{"ts":true,"model":"m"}"#, false),
            (r#"{"model":"m"}"#, false),
            (r#"{"ts":0,"model":"m","colour":"red"}"#, false),
            (r#"{"ts":0,"model":"m","feature_status":{"a":"lost"}}"#, false),
        ] {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(validator.is_valid(&value), good, "{line}");
            assert_eq!(serde_json::from_str::<Record>(line).is_ok(), good, "{line}");
        }
    }
}
