//! The cloud region of this machine, for `location=cloud`: from the firmware, the environment, and the cloud's metadata
//! service. The metadata service is asked only with `location=cloud`, and its requests never leave the host.

use crate::carbon::http::request::{HttpMethod, HttpRequest, Secret};
use crate::carbon::intensity::zones::{self, FoundName, Spot};

/// Link-local address of the metadata service of all three clouds.
const METADATA: &str = "http://169.254.169.254";

const TOKEN: u8 = 0;
const REGION: u8 = 1;

/// The cloud that runs this machine.
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
    /// The cloud, by the texts of /sys/class/dmi/id/{sys_vendor,product_name,chassis_asset_tag}. None: no known cloud.
    pub fn by_firmware(sys_vendor: &str, product_name: &str, chassis_asset_tag: &str) -> Option<Self> {
        if sys_vendor.trim() == "Amazon EC2" {
            Some(CloudProvider::Aws)
        } else if product_name.trim() == "Google Compute Engine" {
            Some(CloudProvider::Google) // the vendor "Google" alone is a Chromebook
        } else if chassis_asset_tag.trim() == "7783-7084-3265-9085-8269-3286-77" {
            Some(CloudProvider::Azure) // other Hyper-V machines have another tag
        } else {
            None
        }
    }

    /// Prefix of its regions in the tables.
    fn prefix(self) -> &'static str {
        match self {
            CloudProvider::Aws => "aws",
            CloudProvider::Google => "gcp",
            CloudProvider::Azure => "azure",
        }
    }

    /// Environment variables that name its region, the most certain first.
    fn variables(self) -> &'static [&'static str] {
        match self {
            CloudProvider::Aws => &["AWS_REGION", "AWS_DEFAULT_REGION"],
            CloudProvider::Google => {
                &["GOOGLE_CLOUD_REGION", "CLOUDSDK_COMPUTE_REGION", "GOOGLE_CLOUD_ZONE", "CLOUDSDK_COMPUTE_ZONE"]
            }
            CloudProvider::Azure => &["AZURE_REGION", "AZURE_LOCATION"],
        }
    }

    /// The region of this name in the tables. An availability zone (europe-west4-a) and a display name (West Europe)
    /// are accepted too.
    fn region(self, name: &str) -> Option<String> {
        let name = name.trim().rsplit('/').next().unwrap_or_default(); // projects/1/zones/europe-west4-a
        match zones::find(&format!("{}:{name}", self.prefix())) {
            Ok(FoundName { spot: region @ Spot::Region(_), .. }) => Some(region.code().to_owned()),
            _ => None,
        }
    }
}

/// The region in the environment. Only variables of the firmware's cloud count. In a container the firmware may name
/// none; then the variables of all clouds count. So a laptop's settings for a cloud are ignored.
pub fn by_environment(provider: Option<CloudProvider>, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let all = [CloudProvider::Aws, CloudProvider::Google, CloudProvider::Azure];
    let mut asked = all.into_iter().filter(|one| provider.is_none_or(|provider| provider == *one));
    asked.find_map(|one| one.variables().iter().find_map(|name| one.region(&variable(name)?)))
}

/// The requests to a cloud's metadata service, one after the other.
#[derive(Debug)]
pub struct Metadata {
    provider: CloudProvider,
    token: Option<Secret>,
    is_sent: bool,
}

impl Metadata {
    /// The requests for this cloud. They make sense only on one of its machines.
    pub fn new(provider: CloudProvider) -> Self {
        Metadata { provider, token: None, is_sent: false }
    }

    /// The next request. None: there is none, or the last one was not answered.
    pub fn ask(&mut self) -> Option<HttpRequest> {
        let request = match (self.provider, &self.token) {
            (CloudProvider::Aws, None) if !self.is_sent => {
                let token =
                    HttpRequest::get(TOKEN, "/latest/api/token").header("X-aws-ec2-metadata-token-ttl-seconds", "60");
                HttpRequest { method: HttpMethod::Put, ..token }
            }
            (CloudProvider::Aws, Some(token)) => {
                let region = HttpRequest::get(REGION, "/latest/meta-data/placement/region");
                region.header("X-aws-ec2-metadata-token", token.0.clone())
            }
            (CloudProvider::Google, _) if !self.is_sent => {
                HttpRequest::get(REGION, "/computeMetadata/v1/instance/zone").header("Metadata-Flavor", "Google")
            }
            (CloudProvider::Azure, _) if !self.is_sent => {
                let path = "/metadata/instance/compute/location?api-version=2021-02-01&format=text";
                HttpRequest::get(REGION, path).header("Metadata", "true")
            }
            _ => return None,
        };
        self.token = None;
        self.is_sent = true;
        Some(HttpRequest { base: Some(METADATA), ..request })
    }

    /// Parses an answer. The result is the region's name in the tables. None: another request follows.
    pub fn take(&mut self, request: &HttpRequest, body: &[u8]) -> Result<Option<String>, String> {
        let text = std::str::from_utf8(body).ok().map(str::trim);
        let text =
            text.filter(|text| (1..=1024).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()));
        let text = text.ok_or("the metadata service's answer is not one line")?;
        if request.answer == TOKEN {
            self.token = Some(Secret(text.to_owned()));
            return Ok(None);
        }
        let region = self.provider.region(text);
        Ok(Some(region.ok_or("the region is not in the tables; set location=")?))
    }
}

#[cfg(test)]
mod tests;
