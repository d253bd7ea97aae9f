//! Powers of an NVIDIA GPU from NVML's field values.
//!
//! `nvml-wrapper` reads them without a scope. A superchip reports the GPU's power under one scope and the module's
//! under another.

use nvml_wrapper::Device;
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper::struct_wrappers::device::FieldValueSample;
use nvml_wrapper_sys::bindings::nvmlFieldValue_t;

/// The powers, W, of pairs of field and scope, from one call of the driver. The outer error is that of the call.
pub fn nvml_watts(device: &Device, wanted: &[(u32, u32)]) -> Result<Vec<Result<f64, NvmlError>>, NvmlError> {
    let call = device.nvml().lib().nvmlDeviceGetFieldValues.as_ref();
    let call = call.map_err(|error| NvmlError::FailedToLoadSymbol(error.to_string()))?;
    let empty = |&(field, scope): &(u32, u32)| {
        // SAFETY: the struct and its union contain numbers only, for which all bits 0 are valid.
        let mut value: nvmlFieldValue_t = unsafe { std::mem::zeroed() };
        (value.fieldId, value.scopeId) = (field, scope);
        value
    };
    let mut values: Vec<nvmlFieldValue_t> = wanted.iter().map(empty).collect();
    // SAFETY: the handle is the driver's own, and the driver is never shut down. It writes `values.len()` values.
    let code = unsafe { call(device.handle(), values.len() as i32, values.as_mut_ptr()) };
    nvml_try(code)?;
    Ok(values.into_iter().map(watts).collect())
}

/// A field of power, in mW, as W.
fn watts(value: nvmlFieldValue_t) -> Result<f64, NvmlError> {
    Ok(1e-3
        * match FieldValueSample::try_from(value)?.value? {
            SampleValue::F64(number) => number,
            SampleValue::U32(number) => f64::from(number),
            SampleValue::U64(number) => number as f64,
            SampleValue::I64(number) => number as f64,
        })
}
