//! Subjects, sessions, scans, diagnoses; tables, split, ledger.
