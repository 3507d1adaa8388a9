"""What goes over the wire between the service and its clients; knows neither of them."""
