//! The file of values by other people's programs, as tests ask for them. `kernels-tests/golden/statistical_tests.py` makes it.

use serde_json::Value;

/// The whole file.
pub struct Golden(Value);

/// One case of a test: an object of numbers and lists.
pub struct Case(Value);

impl Golden {
    pub fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels-tests/golden/statistical_tests.json");
        Golden(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
    }

    /// The cases of a name; there are some.
    pub fn cases(&self, name: &str) -> Vec<Case> {
        let cases: Vec<Case> = self.0[name].as_array().unwrap().iter().cloned().map(Case).collect();
        assert!(!cases.is_empty(), "{name}");
        cases
    }

    /// The rows of numbers at a path.
    pub fn rows(&self, path: &str) -> Vec<Vec<f64>> {
        let at = path.split('/').fold(&self.0, |v, key| &v[key]);
        rows(at)
    }
}

impl Case {
    pub fn number(&self, name: &str) -> f64 {
        self.maybe(name).unwrap_or_else(|| panic!("the case has no number {name}"))
    }

    pub fn maybe(&self, name: &str) -> Option<f64> {
        match &self.0[name] {
            Value::Null => None,
            value => Some(number(value)),
        }
    }

    pub fn numbers(&self, name: &str) -> Vec<f64> {
        self.0[name].as_array().unwrap().iter().map(number).collect()
    }

    pub fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        rows(&self.0[name])
    }
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    let row = |row: &Value| row.as_array().unwrap().iter().map(number).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

/// JSON has no infinity: the file has a text.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

/// Fails unless the two are equal to a relative error of `allowed`, and an absolute one of it where the value is 0.
pub fn near(got: f64, due: f64, allowed: f64, what: &str) {
    let scale = if due == 0.0 { 1.0 } else { due.abs() };
    assert!(got == due || (got - due).abs() <= allowed * scale, "{what}: {got} and not {due}");
}

/// Fails unless the two are at most `allowed` apart.
pub fn within(got: f64, due: f64, allowed: f64, what: &str) {
    assert!((got - due).abs() <= allowed, "{what}: {got} is not within {allowed} of {due}");
}
