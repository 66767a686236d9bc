package main

import (
	"net"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
)

// webUI builds the Web UI. It opens on the last namespace named, asks nobody on the internet for news, and does not
// offer Terminate, because a terminated workflow runs no undo; Cancel does.
func (c *startDev) webUI() *uiserver.Server {
	host := c.UIIP
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		host = "[" + host + "]" // the UI joins host and port with a bare colon
	}
	return uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		Host:                      host,
		Port:                      c.UIPort,
		PublicPath:                c.UIPublicPath,
		TemporalGRPCAddress:       c.frontend(),
		EnableUI:                  true,
		DefaultNamespace:          c.Namespace[len(c.Namespace)-1],
		Codec:                     uiconfig.Codec{Endpoint: c.UICodecEndpoint},
		CORS:                      uiconfig.CORS{CookieInsecure: true}, // plain HTTP on loopback
		DisableNewsFetch:          true,
		HideLogs:                  true,
		WorkflowTerminateDisabled: true,
	}))
}
