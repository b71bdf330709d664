//! Whose request is it? The peer's address, or what trusted proxies say, read from the right: the left of `X-Forwarded-For` is
//! whatever the client wrote there.

use std::net::IpAddr;

use actix_web::HttpRequest;
use ipnet::IpNet;

#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Addresses and CIDR blocks with commas between.
    pub fn parse(text: &str) -> Result<TrustedProxies, String> {
        let block = |item: &str| item.parse::<IpNet>().or_else(|_| item.parse::<IpAddr>().map(IpNet::from)).map_err(|_| item.to_owned());
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(block).collect::<Result<_, _>>().map(TrustedProxies)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|block| block.contains(&address))
    }

    /// The first address from the right that is not a trusted proxy's.
    pub fn client(&self, peer: IpAddr, forwarded_for: Option<&str>) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let mut client = peer;
        for hop in forwarded_for.unwrap_or_default().rsplit(',') {
            let Ok(address) = hop.trim().parse::<IpAddr>() else { return client };
            client = address.to_canonical();
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    pub fn client_of(&self, request: &HttpRequest) -> IpAddr {
        let peer = request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |a| a.ip());
        // Some proxies add a line instead of lengthening the one that came: all of them count, the client's own is only the first.
        let lines: Vec<&str> = request.headers().get_all("x-forwarded-for").map(|v| v.to_str().unwrap_or_default()).collect();
        self.client(peer, (!lines.is_empty()).then(|| lines.join(",")).as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_from_the_right() {
        let proxies = TrustedProxies::parse("10.0.0.0/8, 192.168.1.1").unwrap();
        assert_eq!(proxies.client(ip("10.1.1.1"), Some("6.6.6.6, 8.8.8.8, 10.2.2.2")), ip("8.8.8.8"));
        assert_eq!(proxies.client(ip("8.8.8.8"), Some("1.1.1.1")), ip("8.8.8.8"));
        assert_eq!(proxies.client(ip("10.1.1.1"), Some("not an address")), ip("10.1.1.1"));
        assert_eq!(proxies.client(ip("10.1.1.1"), None), ip("10.1.1.1"));
        assert!(TrustedProxies::parse("nonsense").is_err());
    }
}
