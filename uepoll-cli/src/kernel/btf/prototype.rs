//! What a function takes and returns, as C declares it and as the kernel's types
//! have it, in one form, so that the two can be compared. Names of types are
//! compared as they are written; qualifiers are not.

use std::fmt;

use super::{
    Btf, DEPTH, Head, KIND_CONST, KIND_ENUM, KIND_ENUM64, KIND_FORWARD, KIND_INT, KIND_POINTER,
    KIND_RESTRICT, KIND_STRUCT, KIND_TYPE_TAG, KIND_TYPEDEF, KIND_UNION, KIND_VOLATILE, TYPE_BYTES,
    word,
};

/// A type: its name (`int`, `struct epitem`, `void`), behind so many pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CType {
    /// Name, with `struct`, `union` or `enum` before it where C wants that.
    pub name: String,
    /// Stars.
    pub pointers: usize,
}

impl fmt::Display for CType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.pointers > 0 {
            write!(f, " {}", "*".repeat(self.pointers))?;
        }
        Ok(())
    }
}

/// A function's declaration, without the names of its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// Its name.
    pub function: String,
    /// What it returns.
    pub returns: CType,
    /// What it takes.
    pub parameters: Vec<CType>,
}

/// Why text is no declaration that can be compared.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no prototype of the form `int name(struct thing *first, int second)`")]
pub struct PrototypeError(String);

/// Words that do not change what a type is.
const QUALIFIERS: [&str; 9] = [
    "static",
    "inline",
    "noinline",
    "extern",
    "const",
    "volatile",
    "__user",
    "__noclone",
    "__always_inline",
];

impl Prototype {
    /// Reads a declaration in C, with a name for each parameter.
    ///
    /// # Errors
    /// If it is none of the simple form that functions of the kernel have.
    pub fn parse(text: &str) -> Result<Self, PrototypeError> {
        let refuse = || PrototypeError(text.to_owned());
        let (head, rest) = text.trim().trim_end_matches(';').split_once('(').ok_or_else(refuse)?;
        let list = rest.trim_end().strip_suffix(')').ok_or_else(refuse)?;
        if list.contains(['(', ')', '[']) {
            return Err(refuse());
        }
        let (function, returns) = declared(head).ok_or_else(refuse)?;
        let parameters = match list.trim() {
            "" | "void" => Vec::new(),
            list => list
                .split(',')
                .map(|parameter| declared(parameter).map(|(_, kind)| kind).ok_or_else(refuse))
                .collect::<Result<_, _>>()?,
        };
        Ok(Self { function, returns, parameters })
    }

    /// The first thing in which `real` differs from this, in words.
    pub fn difference(&self, real: &Self) -> Option<String> {
        let name = &self.function;
        if self.function != real.function {
            return Some(format!("{} is not {name}", real.function));
        }
        let (count, expected) = (real.parameters.len(), self.parameters.len());
        if count != expected {
            return Some(format!("{name} takes {count} parameters here, not {expected}"));
        }
        for (index, (expected, real)) in self.parameters.iter().zip(&real.parameters).enumerate() {
            if expected != real {
                let number = index + 1;
                return Some(format!(
                    "parameter {number} of {name} is {real} here, not {expected}"
                ));
            }
        }
        (self.returns != real.returns)
            .then(|| format!("{name} returns {} here, not {}", real.returns, self.returns))
    }
}

/// Name and type of what `text` declares: `struct epitem *epi`.
fn declared(text: &str) -> Option<(String, CType)> {
    let pointers = text.matches('*').count();
    let text = text.replace('*', " ");
    let mut words: Vec<&str> =
        text.split_ascii_whitespace().filter(|word| !QUALIFIERS.contains(word)).collect();
    let name = words.pop()?.to_owned();
    let is_word = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if words.is_empty() || !is_word(&name) || !words.iter().copied().all(is_word) {
        return None;
    }
    let kind = match words.as_slice() {
        ["unsigned"] => "unsigned int".to_owned(),
        words => words.join(" "),
    };
    Some((name, CType { name: kind, pointers }))
}

impl Btf {
    /// What a function takes and returns; `None` if it is not in the types, is
    /// there twice, or has a type that this reader cannot name.
    pub fn prototype(&self, function: &str) -> Option<Prototype> {
        let head = self.prototype_head(function)?;
        let parameter = |index: usize| {
            let at = head.at + TYPE_BYTES + index * 8;
            self.c_type(word(&self.bytes, at + 4).ok()?)
        };
        Some(Prototype {
            function: function.to_owned(),
            returns: self.c_type(head.size_or_type)?,
            parameters: (0..head.count).map(parameter).collect::<Option<_>>()?,
        })
    }

    /// A type as C would name it.
    fn c_type(&self, mut number: u32) -> Option<CType> {
        let mut pointers = 0;
        for _ in 0..DEPTH {
            if number == 0 {
                return Some(CType { name: "void".to_owned(), pointers });
            }
            let head = self.head(number)?;
            match head.kind {
                KIND_POINTER => pointers += 1,
                KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {}
                _ => return Some(CType { name: self.c_name(&head)?, pointers }),
            }
            number = head.size_or_type;
        }
        None
    }

    fn c_name(&self, head: &Head) -> Option<String> {
        let name = self.string(head.name).ok()?;
        let before = match head.kind {
            KIND_INT | KIND_TYPEDEF => "",
            KIND_STRUCT => "struct ",
            KIND_UNION => "union ",
            KIND_ENUM | KIND_ENUM64 => "enum ",
            // Declared only: bit 31 tells a union from a structure.
            KIND_FORWARD if head.bit_fields => "union ",
            KIND_FORWARD => "struct ",
            _ => return None,
        };
        (!name.is_empty()).then(|| format!("{before}{name}"))
    }
}
