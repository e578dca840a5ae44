//! `RUN --device`.

use super::csv;
use super::mount::parse_bool;
use crate::plan::dockerfile::error::ParseError;
use crate::plan::dockerfile::suggest::nearest;
use crate::plan::dockerfile::text::lower;

/// A CDI device that a `RUN` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The CDI name, as `vendor.com/class=name`.
    pub name: String,
    /// Whether the step fails without it.
    pub required: bool,
}

impl Device {
    /// Reads the value of one `--device`.
    ///
    /// # Errors
    ///
    /// [`ParseError`] for a value that is not CSV, a second name and a bad `required`.
    pub fn parse(value: &str) -> Result<Self, ParseError> {
        let mut device = Self::default();
        for field in csv::fields(value)? {
            device.set(&field)?;
        }
        Ok(device)
    }

    fn set(&mut self, field: &str) -> Result<(), ParseError> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (lower(key), Some(value)),
            None => (lower(field), None),
        };
        match (key.as_ref(), value) {
            ("required", None) => self.required = true,
            ("name", Some(_)) if !self.name.is_empty() => {
                return Err(ParseError::DeviceNamedTwice { name: self.name.clone() });
            }
            ("name", Some(name)) => name.clone_into(&mut self.name),
            ("required", Some(value)) => self.required = parse_bool("required", value)?,
            _ if self.name.is_empty() => field.clone_into(&mut self.name),
            (_, None) => return Err(ParseError::FieldWithoutValue { field: field.to_owned() }),
            (key, Some(_)) => {
                let suggestion = nearest(key, ["name", "required"]).into();
                let (key, field) = (key.to_owned(), field.to_owned());
                return Err(ParseError::UnknownKey { key, field, suggestion });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, required: bool) -> Result<Device, ParseError> {
        Ok(Device { name: name.into(), required })
    }

    #[test]
    fn reads_names_and_required() {
        assert_eq!(Device::parse("v.com/d=foo"), device("v.com/d=foo", false));
        assert_eq!(Device::parse("v.com/d"), device("v.com/d", false));
        assert_eq!(Device::parse("v.com/d=foo,required"), device("v.com/d=foo", true));
        assert_eq!(Device::parse("v.com/d=foo,REQUIRED=f"), device("v.com/d=foo", false));
        assert_eq!(Device::parse("name=v.com/d=foo,required=1"), device("v.com/d=foo", true));
    }

    #[test]
    fn refuses_what_is_no_device() {
        let named = "v.com/d=foo,name=w.com/d=bar";
        assert!(matches!(Device::parse(named), Err(ParseError::DeviceNamedTwice { .. })));
        assert!(matches!(Device::parse("a,b"), Err(ParseError::FieldWithoutValue { .. })));
        assert!(matches!(Device::parse("a,required=yes"), Err(ParseError::InvalidValue { .. })));
        let error = Device::parse("a,nam=b").unwrap_err().to_string();
        assert_eq!(error, "unexpected key `nam` in `nam=b` (did you mean name?)");
    }
}
