//! Functional groups of enhanced images, flattened to one small object of shared values and one object per
//! frame.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::FileFault;
use super::walker::{ElementHeader, Encoding, Walker};

/// Largest number of frames per file.
const MAX_FRAMES: usize = 1 << 17;

/// The macros that are read. Vendor macros are skipped, because they contain whole headers of their own with
/// other values under the same tags.
const MACROS: &[Tag] = &[
    tags::PLANE_POSITION_SEQUENCE,
    tags::PLANE_ORIENTATION_SEQUENCE,
    tags::PIXEL_MEASURES_SEQUENCE,
    tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
    tags::FRAME_CONTENT_SEQUENCE,
    tags::TEMPORAL_POSITION_SEQUENCE,
    tags::MR_ECHO_SEQUENCE,
    tags::MR_IMAGE_FRAME_TYPE_SEQUENCE,
    tags::MR_TIMING_AND_RELATED_PARAMETERS_SEQUENCE,
    tags::MR_MODIFIER_SEQUENCE,
    tags::MR_IMAGING_MODIFIER_SEQUENCE,
    tags::MR_DIFFUSION_SEQUENCE,
    tags::MRFOV_GEOMETRY_SEQUENCE,
    tags::MR_RECEIVE_COIL_SEQUENCE,
    tags::CT_IMAGE_FRAME_TYPE_SEQUENCE,
    tags::PET_FRAME_TYPE_SEQUENCE,
];

/// The elements read from the macros.
const WANTED: &[Tag] = &[
    tags::FRAME_TYPE,
    tags::COMPLEX_IMAGE_COMPONENT,
    tags::SLICE_THICKNESS,
    tags::SPACING_BETWEEN_SLICES,
    tags::REPETITION_TIME,
    tags::FLIP_ANGLE,
    tags::ECHO_TRAIN_LENGTH,
    tags::EFFECTIVE_ECHO_TIME,
    tags::INVERSION_TIMES,
    tags::INVERSION_RECOVERY,
    tags::PIXEL_BANDWIDTH,
    tags::TRANSMITTER_FREQUENCY,
    tags::PERCENT_SAMPLING,
    tags::PERCENT_PHASE_FIELD_OF_VIEW,
    tags::RECEIVE_COIL_NAME,
    tags::DIFFUSION_B_VALUE,
    tags::IMAGE_POSITION_PATIENT,
    tags::IMAGE_ORIENTATION_PATIENT,
    tags::STACK_ID,
    tags::IN_STACK_POSITION_NUMBER,
    tags::TEMPORAL_POSITION_INDEX,
    tags::TEMPORAL_POSITION_TIME_OFFSET,
    tags::DIMENSION_INDEX_VALUES,
    tags::PIXEL_SPACING,
    tags::RESCALE_INTERCEPT,
    tags::RESCALE_SLOPE,
];

/// Encoded elements.
struct Layer {
    bytes: Vec<u8>,
    encoding: Encoding,
}

/// The functional groups of a file, collected while walking.
#[derive(Default)]
pub(super) struct FunctionalGroups {
    shared: Option<Layer>,
    frames: Vec<Layer>,
    pub(super) dimensions: Vec<Tag>,
}

impl FunctionalGroups {
    /// Consumes the value of a functional groups sequence. Returns `false` for other elements.
    pub(super) fn take(&mut self, walker: &mut Walker, header: &ElementHeader) -> Result<bool, FileFault> {
        match header.tag {
            tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE => {
                self.shared = self.shared.take().or(macros(walker, header)?.into_iter().next());
            }
            tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE => self.frames.extend(macros(walker, header)?),
            tags::DIMENSION_INDEX_SEQUENCE => self.dimensions = dimensions(walker, header)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Objects of the shared values and of each frame.
    pub(super) fn objects(
        self,
        walker: &Walker,
    ) -> Result<(Option<InMemDicomObject>, Vec<InMemDicomObject>), FileFault> {
        let object =
            |layer: Layer| layer.encoding.object(&layer.bytes).map_err(|found| walker.damaged(found));
        let frames = self.frames.into_iter().map(object).collect::<Result<_, _>>()?;
        Ok((self.shared.map(object).transpose()?, frames))
    }
}

/// The wanted elements of every item of a functional groups sequence.
fn macros(walker: &mut Walker, header: &ElementHeader) -> Result<Vec<Layer>, FileFault> {
    let mut layers = Vec::new();
    walker.each_item(header, &mut |walker, encoding, end| {
        if layers.len() == MAX_FRAMES {
            return Err(walker.damaged(format!("more than {MAX_FRAMES} frames")));
        }
        let mut bytes = Vec::new();
        walker.each_element(encoding, end, &mut |walker, element| {
            if !MACROS.contains(&element.tag) || element.inside != encoding {
                return walker.skip_value(element);
            }
            walker.each_item(element, &mut |walker, encoding, end| {
                walker.each_element(encoding, end, &mut |walker, leaf| {
                    walker.keep_or_skip(leaf, WANTED, encoding, &mut bytes)
                })
            })
        })?;
        layers.push(Layer { bytes, encoding });
        Ok(())
    })?;
    Ok(layers)
}

/// The elements that the dimensions of a multi-frame image count.
fn dimensions(walker: &mut Walker, header: &ElementHeader) -> Result<Vec<Tag>, FileFault> {
    let mut pointers = Vec::new();
    walker.each_item(header, &mut |walker, encoding, end| {
        let mut pointer = Tag(0, 0);
        walker.each_element(encoding, end, &mut |walker, element| {
            if element.tag != tags::DIMENSION_INDEX_POINTER || element.length != 4 {
                return walker.skip_value(element);
            }
            let mut value = [0; 4];
            walker.fill(&mut value)?;
            pointer = encoding.tag(value);
            Ok(())
        })?;
        if pointers.len() < 64 {
            pointers.push(pointer);
        }
        Ok(())
    })?;
    Ok(pointers)
}
