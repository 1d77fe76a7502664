//! What a person who knows an invoice's factors, and no more, may see of the people on it: names keep their first character, ids their first and
//! last four, phones and accounts their last four. The seller is a company and is not masked.

/// `张三丰` → `张**`. Company names are masked the same way: the caller is not yet known to be the buyer.
pub fn name(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| std::iter::once(first).chain(characters.map(|_| '*')).collect())
}

/// `91310000580583950X` → `9131**********950X`; shorter than nine characters keeps nothing.
pub fn id(text: &str) -> String {
    let length = text.chars().count();
    let kept = |at: usize| length > 8 && (at < 4 || at >= length - 4);
    text.chars().enumerate().map(|(at, c)| if kept(at) { c } else { '*' }).collect()
}

/// Addresses, phones, banks and accounts share one printed field: all but its last four characters are masked.
pub fn account(text: &str) -> String {
    let length = text.chars().count();
    text.chars().enumerate().map(|(at, c)| if length > 4 && at >= length - 4 { c } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_what_they_say() {
        assert_eq!(name("欧阳某某"), "欧***");
        assert_eq!(name(""), "");
        assert_eq!(id("91310000580583950X"), "9131**********950X");
        assert_eq!(id("12345678"), "********");
        assert_eq!(account("工行虚构支行 6222000012345678"), "*******************5678");
        assert_eq!(account("1234"), "****");
    }
}
