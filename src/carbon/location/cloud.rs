//! Which cloud region this machine is in, for `location=cloud`: by the firmware's texts, the environment and the
//! provider's own metadata, which is asked only there and never leaves the host.

use crate::carbon::http::request::{HttpMethod, HttpRequest, Secret};
use crate::carbon::intensity::zones::{self, FoundName, Spot};

/// The link-local address that all three answer at.
const METADATA: &str = "http://169.254.169.254";

const TOKEN: u8 = 0;
const REGION: u8 = 1;

/// Who runs the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudProvider {
    /// Amazon Web Services.
    Aws,
    /// Google Cloud.
    Google,
    /// Microsoft Azure.
    Azure,
}

impl CloudProvider {
    /// By /sys/class/dmi/id/{sys_vendor,product_name,chassis_asset_tag}; None: not a cloud we know.
    pub fn by_firmware(sys_vendor: &str, product_name: &str, chassis_asset_tag: &str) -> Option<Self> {
        if sys_vendor.trim() == "Amazon EC2" {
            Some(CloudProvider::Aws)
        } else if product_name.trim() == "Google Compute Engine" {
            Some(CloudProvider::Google) // "Google" alone is a Chromebook's vendor
        } else if chassis_asset_tag.trim() == "7783-7084-3265-9085-8269-3286-77" {
            Some(CloudProvider::Azure) // tells it from any other Hyper-V
        } else {
            None
        }
    }

    /// As our table begins its regions.
    fn prefix(self) -> &'static str {
        match self {
            CloudProvider::Aws => "aws",
            CloudProvider::Google => "gcp",
            CloudProvider::Azure => "azure",
        }
    }

    /// Variables that name its region, the surest first.
    fn variables(self) -> &'static [&'static str] {
        match self {
            CloudProvider::Aws => &["AWS_REGION", "AWS_DEFAULT_REGION"],
            CloudProvider::Google => {
                &["GOOGLE_CLOUD_REGION", "CLOUDSDK_COMPUTE_REGION", "GOOGLE_CLOUD_ZONE", "CLOUDSDK_COMPUTE_ZONE"]
            }
            CloudProvider::Azure => &["AZURE_REGION", "AZURE_LOCATION"],
        }
    }

    /// Our table's region of this name; a zone of it (europe-west4-a) and a display name (West Europe) are taken too.
    fn region(self, name: &str) -> Option<String> {
        let name = name.trim().rsplit('/').next().unwrap_or_default(); // projects/1/zones/europe-west4-a
        match zones::find(&format!("{}:{name}", self.prefix())) {
            Ok(FoundName { spot: region @ Spot::Region(_), .. }) => Some(region.code().to_owned()),
            _ => None,
        }
    }
}

/// The region that the environment names, of the provider the firmware names, or of any where it names none (a
/// container): a laptop's settings for another cloud do not count.
pub fn by_environment(provider: Option<CloudProvider>, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let all = [CloudProvider::Aws, CloudProvider::Google, CloudProvider::Azure];
    let mut asked = all.into_iter().filter(|one| provider.is_none_or(|provider| provider == *one));
    asked.find_map(|one| one.variables().iter().find_map(|name| one.region(&variable(name)?)))
}

/// The question to a provider's metadata, step by step.
#[derive(Debug)]
pub struct Metadata {
    provider: CloudProvider,
    token: Option<Secret>,
    is_asked: bool,
}

impl Metadata {
    /// To be asked only on a machine of this provider.
    pub fn new(provider: CloudProvider) -> Self {
        Metadata { provider, token: None, is_asked: false }
    }

    /// The next request; None: there is none, or the one before it was not answered.
    pub fn ask(&mut self) -> Option<HttpRequest> {
        let request = match (self.provider, &self.token) {
            (CloudProvider::Aws, None) if !self.is_asked => {
                let token =
                    HttpRequest::get(TOKEN, "/latest/api/token").header("X-aws-ec2-metadata-token-ttl-seconds", "60");
                HttpRequest { method: HttpMethod::Put, ..token }
            }
            (CloudProvider::Aws, Some(token)) => {
                let region = HttpRequest::get(REGION, "/latest/meta-data/placement/region");
                region.header("X-aws-ec2-metadata-token", token.0.clone())
            }
            (CloudProvider::Google, _) if !self.is_asked => {
                HttpRequest::get(REGION, "/computeMetadata/v1/instance/zone").header("Metadata-Flavor", "Google")
            }
            (CloudProvider::Azure, _) if !self.is_asked => {
                let path = "/metadata/instance/compute/location?api-version=2021-02-01&format=text";
                HttpRequest::get(REGION, path).header("Metadata", "true")
            }
            _ => return None,
        };
        self.token = None;
        self.is_asked = true;
        Some(HttpRequest { base: Some(METADATA), ..request })
    }

    /// The region as our table names it; Ok(None): there is more to ask.
    pub fn take(&mut self, request: &HttpRequest, body: &[u8]) -> Result<Option<String>, String> {
        let text = std::str::from_utf8(body).ok().map(str::trim);
        let text =
            text.filter(|text| (1..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()));
        let text = text.ok_or("the metadata's answer is not the one line expected")?;
        if request.answer == TOKEN {
            self.token = Some(Secret(text.to_owned()));
            return Ok(None);
        }
        let region = self.provider.region(text);
        Ok(Some(region.ok_or("the provider's region is not in the table: set location=")?))
    }
}

#[cfg(test)]
mod tests;
