//! Checks the values that a key allows. A mistake is the key and the rest of a sentence. The caller knows the file and
//! adds its name.

/// The key at fault and what is wrong with its value: `lr`, `is 0; use a number above 0`.
pub type Mistake = (String, String);

/// A mistake of `key`.
pub fn mistake<T>(key: &str, what: impl Into<String>) -> Result<T, Mistake> {
    Err((key.to_string(), what.into()))
}

/// A whole number from `least` to `most`.
pub fn between(key: &str, value: usize, least: usize, most: usize) -> Result<(), Mistake> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    mistake(key, format!("is {value}; use a whole number from {least} to {most}"))
}

/// A finite number above 0.
pub fn positive(key: &str, value: f64) -> Result<(), Mistake> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    mistake(key, format!("is {value}; use a number above 0"))
}

/// A number from 0 to 1.
pub fn share(key: &str, value: f64) -> Result<(), Mistake> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    mistake(key, format!("is {value}; use a share from 0 to 1"))
}

/// Two numbers, the smallest and the largest, above 0 and at most `most`.
pub fn range(key: &str, [low, high]: [f64; 2], most: f64) -> Result<(), Mistake> {
    if low > 0.0 && low <= high && high <= most {
        return Ok(());
    }
    mistake(key, format!("is [{low}, {high}]; use [smallest, largest], both above 0 and at most {most}"))
}
