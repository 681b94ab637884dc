//! An enum that `named!` defines, in every place where its names occur.

use brainreel_named::{Named, named};

named! {
    /// How something is done.
    ///
    /// More about it.
    #[derive(Default)]
    #[non_exhaustive]
    pub enum Method {
        /// Quickly, and
        /// not well.
        Quick = "quick",
        /// Well. See [`Method::Quick`].
        #[default]
        Thorough = "very-thorough" | "thorough" | "slow",
    }
}

named! {
    enum Private {
        Only = "only",
    }
}

#[test]
fn names_are_the_same_everywhere() {
    assert_eq!(Method::ALL, [Method::Quick, Method::Thorough]);
    assert_eq!(Method::VALUES, Method::ALL);
    for value in Method::ALL {
        let name = value.name();
        assert_eq!(value.to_string(), name);
        assert_eq!(name.parse(), Ok(value));
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(json, format!("\"{name}\""));
        assert_eq!(serde_json::from_str::<Method>(&json).unwrap(), value);
        assert_eq!(Method::from_name_ignoring_case(&format!(" {} ", name.to_uppercase())), Some(value));
    }
    assert_eq!(format!("{:>8}", Method::Quick), "   quick");
    assert_eq!(Method::default(), Method::Thorough);
    assert!(Method::Quick < Method::Thorough);
    assert_eq!(Private::ALL.map(Private::name), ["only"]);
}

#[test]
fn aliases_are_read_and_not_written() {
    for alias in ["thorough", "slow"] {
        assert_eq!(alias.parse(), Ok(Method::Thorough));
        let read: Method = serde_json::from_str(&format!("\"{alias}\"")).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"very-thorough\"");
    }
}

#[test]
fn unknown_names_are_refused_with_the_possible_ones() {
    let error = "thorouh".parse::<Method>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown name `thorouh`, expected one of `quick`, `very-thorough`; did you mean `very-thorough`?"
    );
    assert_eq!(error.nearest, Some("very-thorough"));
    let error = serde_json::from_str::<Method>("\"fast\"").unwrap_err().to_string();
    assert!(error.starts_with("unknown name `fast`, expected one of `quick`, `very-thorough`"), "{error}");
    assert!(serde_json::from_str::<Method>("3").unwrap_err().to_string().contains("expected one of `quick`"));
    assert!("Quick".parse::<Method>().is_err(), "case matters in settings");
}

#[test]
fn doc_comments_describe_values() {
    assert_eq!(Method::DOC.trim(), "How something is done.\n\n More about it.");
    assert_eq!(Method::Quick.describe(), "Quickly, and not well.");
    assert_eq!(Method::Thorough.describe(), "Well. See `Method::Quick`.");
    let schema = serde_json::to_value(schemars::schema_for!(Method)).unwrap();
    assert_eq!(schema["title"], "Method");
    assert_eq!(schema["oneOf"][0]["const"], "quick");
    assert_eq!(schema["oneOf"][0]["description"], "Quickly, and not well.");
    assert_eq!(schema["oneOf"][2]["const"], "thorough");
    assert_eq!(schema["oneOf"][2]["deprecated"], true);
}
