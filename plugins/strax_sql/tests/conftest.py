from sql_places import catalogue, open_catalogue, places, url

__all__ = ["catalogue", "open_catalogue", "places", "url"]
