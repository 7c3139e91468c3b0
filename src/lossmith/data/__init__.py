"""Sources to records to templates to tokenised parquet; splits and the audit."""
