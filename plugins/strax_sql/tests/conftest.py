from sql_places import catalogue, open_catalogue, places, reach, reach_of_each, url

__all__ = ["catalogue", "open_catalogue", "places", "reach", "reach_of_each", "url"]
