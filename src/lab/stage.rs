use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::Error;
use crate::chaos::{Proxy, RespMeter, Scene, StoreSample};
use crate::client::{self, Tap};
use crate::scene::{Choice, Data, Model, Service, ServiceConfig, Store};
use crate::units::Clock;

/// Samples of the store's latency that may wait.
const SAMPLES: usize = 65_536;

/// Everything behind the model service: data, model, store, and the proxy in front of the store.
pub(super) struct Stage {
    pub(super) data: Data,
    pub(super) model: Arc<Model>,
    pub(super) store: Store,
    pub(super) proxy: Proxy,
    pub(super) meter: RespMeter,
    pub(super) clock: Clock,
}

impl Stage {
    pub(super) async fn set(choice: &Choice) -> Result<(Self, mpsc::Receiver<StoreSample>), Error> {
        let clock = Clock::real();
        let data = Data::load()?;
        let model = Arc::new(Model::train(&data)?);
        let store = Store::start(choice, &data).await?;
        let (meter, samples) = RespMeter::new(SAMPLES);
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let upstream = store.address().host_port();
        let started = Proxy::start(anywhere, upstream, Some(Arc::new(meter.clone())), clock.clone()).await;
        let proxy = match started {
            Ok(proxy) => proxy,
            Err(error) => {
                store.stop().await?;
                return Err(error.into());
            }
        };
        Ok((Self { data, model, store, proxy, meter, clock }, samples))
    }

    /// The tap's client, sending to `url`.
    pub(super) fn tap(&self, url: &str) -> Result<Arc<Tap>, Error> {
        Ok(Arc::new(Tap::start(client::Config::to(url, "scene"))?))
    }

    /// The model service, its store behind the proxy.
    pub(super) async fn model_service(&self, settings: &Scene, tap: Arc<Tap>) -> Result<Service, Error> {
        let store = self.store.address().through(self.proxy.addr());
        let config = ServiceConfig::of(settings, store, self.data.popular());
        Ok(Service::start(config, Arc::clone(&self.model), tap, self.clock.clone()).await?)
    }
}

/// A free port on loopback and its address as a URL.
pub(super) async fn listen() -> Result<(TcpListener, String), Error> {
    let io = |source| Error::Io { what: "cannot listen on loopback", source };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(io)?;
    let url = format!("http://{}", listener.local_addr().map_err(io)?);
    Ok((listener, url))
}
