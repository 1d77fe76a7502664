//! A QR code as a picture, to print on an invoice: PNG or SVG, error correction M, with the quiet zone that readers need.

use qrcode::render::svg;
use qrcode::types::Color;
use qrcode::{EcLevel, QrCode};

/// Modules of white around the code (ISO/IEC 18004: four).
const QUIET: usize = 4;
/// Pixels of a module: 65 modules of the largest code and its quiet zone are 520 pixels.
const SCALE: usize = 8;

/// Why a text has no picture.
#[derive(Debug, thiserror::Error)]
pub enum QrImageError {
    /// Longer than a QR code holds.
    #[error("no QR code: {0}")]
    Code(#[from] qrcode::types::QrError),
    /// The encoder of pictures.
    #[error("no picture: {0}")]
    Png(#[from] png::EncodingError),
}

/// As SVG.
pub fn svg(text: &str) -> Result<String, QrImageError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M)?;
    Ok(code.render::<svg::Color<'_>>().quiet_zone(true).module_dimensions(SCALE as u32, SCALE as u32).build())
}

/// As PNG, in black and white.
pub fn png(text: &str) -> Result<Vec<u8>, QrImageError> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M)?;
    let modules = code.width();
    let side = (modules + 2 * QUIET) * SCALE;
    let colors = code.to_colors();
    let mut rows = Vec::with_capacity(side * side.div_ceil(8));
    for y in 0..side {
        let mut row = vec![0xff_u8; side.div_ceil(8)];
        for x in 0..side {
            let module = (x / SCALE).checked_sub(QUIET).zip((y / SCALE).checked_sub(QUIET)).filter(|(x, y)| *x < modules && *y < modules);
            let is_dark = module.and_then(|(x, y)| colors.get(y * modules + x)) == Some(&Color::Dark);
            if is_dark && let Some(eight) = row.get_mut(x / 8) {
                *eight &= !(0x80 >> (x % 8));
            }
        }
        rows.extend_from_slice(&row);
    }
    let mut file = Vec::new();
    let pixels = u32::try_from(side).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(&mut file, pixels, pixels);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.write_header()?.write_image_data(&rows)?;
    Ok(file)
}
