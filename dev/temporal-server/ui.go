package main

import (
	"net"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
)

// webUI builds the Web UI. It opens on the last namespace named and asks no one on the internet for news. It hides what harms an order;
// docker-compose.yml hides the same. Cancel stays, because a cancelled workflow undoes what it did.
func (c *startDev) webUI() *uiserver.Server {
	host := c.UIIP
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		host = "[" + host + "]" // the UI joins host and port with a bare colon
	}
	return uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		Host:                host,
		Port:                c.UIPort,
		PublicPath:          c.UIPublicPath,
		TemporalGRPCAddress: c.frontend(),
		EnableUI:            true,
		DefaultNamespace:    c.Namespace[len(c.Namespace)-1],
		Codec:               uiconfig.Codec{Endpoint: c.UICodecEndpoint},
		CORS:                uiconfig.CORS{CookieInsecure: true}, // plain HTTP on loopback
		DisableNewsFetch:    true,
		HideLogs:            true,

		WorkflowTerminateDisabled: true, // a terminated workflow undoes nothing
		WorkflowResetDisabled:     true, // a step back in an order is a decision for the runbook
		WorkflowUpdateDisabled:    true, // the API records who acts on an order and why
		StartWorkflowDisabled:     true, // the API checks and records what is ordered
		BatchActionsDisabled:      true, // one click would cancel every order
	}))
}
