use super::*;

#[test]
fn firmware_names_the_cloud() {
    let azure_tag = "7783-7084-3265-9085-8269-3286-77\n";
    assert_eq!(CloudProvider::by_firmware("Amazon EC2\n", "m5.large\n", "Amazon EC2\n"), Some(CloudProvider::Aws));
    assert_eq!(CloudProvider::by_firmware("Google\n", "Google Compute Engine\n", "\n"), Some(CloudProvider::Google));
    assert_eq!(
        CloudProvider::by_firmware("Microsoft Corporation\n", "Virtual Machine\n", azure_tag),
        Some(CloudProvider::Azure)
    );
    assert_eq!(
        CloudProvider::by_firmware("Microsoft Corporation\n", "Virtual Machine\n", "1234"),
        None,
        "a Hyper-V at home"
    );
    assert_eq!(CloudProvider::by_firmware("Google", "Eve", ""), None, "a Chromebook");
    assert_eq!(CloudProvider::by_firmware("", "", ""), None);
}

#[test]
fn environment_names_the_region_of_the_same_cloud() {
    let set = |name: &'static str, value: &'static str| move |asked: &str| (asked == name).then(|| value.to_owned());
    let any = |name, value| by_environment(None, set(name, value));
    assert_eq!(any("AWS_DEFAULT_REGION", "eu-north-1").as_deref(), Some("aws:eu-north-1"));
    assert_eq!(any("CLOUDSDK_COMPUTE_ZONE", "europe-west4-a").as_deref(), Some("gcp:europe-west4"));
    assert_eq!(any("GOOGLE_CLOUD_REGION", "europe-west4").as_deref(), Some("gcp:europe-west4"));
    assert_eq!(any("AZURE_REGION", "West Europe").as_deref(), Some("azure:westeurope"));
    for value in ["", "mars-north-1", "eu-north-1&x", "é"] {
        assert_eq!(any("AWS_REGION", value), None, "{value}");
    }
    assert_eq!(by_environment(Some(CloudProvider::Google), set("AWS_REGION", "eu-north-1")), None);
}

/// Sends requests until the look-up ends. The answers are used one after the other.
fn asked(provider: CloudProvider, answers: &[&str]) -> (Vec<HttpRequest>, Option<Result<Option<String>, String>>) {
    let mut metadata = Metadata::new(provider);
    let (mut requests, mut last) = (Vec::new(), None);
    for answer in answers {
        let Some(request) = metadata.ask() else { break };
        last = Some(metadata.take(&request, answer.as_bytes()));
        requests.push(request);
    }
    assert!(metadata.ask().is_none());
    (requests, last)
}

#[test]
fn metadata_requests_differ_between_clouds() {
    let shown = |request: &HttpRequest| {
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| format!("{name}: {}", value.0)).collect();
        assert_eq!(request.base, Some("http://169.254.169.254"));
        format!("{:?} {} {}", request.method, request.path, headers.join(","))
    };
    let (requests, region) = asked(CloudProvider::Aws, &["TOKEN==", "eu-north-1\n"]);
    assert_eq!(shown(&requests[0]), "Put /latest/api/token X-aws-ec2-metadata-token-ttl-seconds: 60");
    assert_eq!(shown(&requests[1]), "Get /latest/meta-data/placement/region X-aws-ec2-metadata-token: TOKEN==");
    assert_eq!(region, Some(Ok(Some("aws:eu-north-1".into()))));

    let (requests, region) = asked(CloudProvider::Google, &["projects/1/zones/europe-west4-a"]);
    assert_eq!(shown(&requests[0]), "Get /computeMetadata/v1/instance/zone Metadata-Flavor: Google");
    assert_eq!(region, Some(Ok(Some("gcp:europe-west4".into()))));

    let (requests, region) = asked(CloudProvider::Azure, &["westeurope"]);
    assert_eq!(
        shown(&requests[0]),
        "Get /metadata/instance/compute/location?api-version=2021-02-01&format=text Metadata: true"
    );
    assert_eq!(region, Some(Ok(Some("azure:westeurope".into()))));
}

#[test]
fn unexpected_answer_is_an_error() {
    for answer in ["", "two words", "<html>", "line\r\nline", "é", "mars-north-1"] {
        assert!(asked(CloudProvider::Azure, &[answer]).1.unwrap().is_err(), "{answer}");
    }
    let (requests, token) = asked(CloudProvider::Aws, &["a\r\nb"]);
    assert!(requests.len() == 1 && token.unwrap().is_err());
    assert_eq!(Metadata::new(CloudProvider::Aws).take(&HttpRequest::get(TOKEN, ""), b"T"), Ok(None));
}
