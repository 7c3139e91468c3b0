"""The typed configuration: schema, composition of presets, files and overrides."""
