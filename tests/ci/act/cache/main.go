// Serves act's implementation of GitHub's cache service, version 1, on loopback.
//
// The first argument is the folder that it keeps caches in. It says `listening on URL` when it does,
// and is ended from outside.
package main

import (
	"fmt"
	"os"

	"github.com/nektos/act/pkg/artifactcache"
)

func main() {
	server, err := artifactcache.StartHandler(os.Args[1], "", "127.0.0.1", 0, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "listening on", server.ExternalURL())
	select {}
}
