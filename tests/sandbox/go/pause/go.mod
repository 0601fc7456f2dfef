module aks-sandbox/pause

go 1.24.0
